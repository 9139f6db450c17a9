"""python-keycloak with the tenant header: lightelligence_tenancy_story.py BASE APPLICATION SECRET INSTALLED FOREIGN

APPLICATION is installed in tenant INSTALLED and not in FOREIGN.
"""

import sys

from keycloak import KeycloakOpenID
from keycloak.exceptions import KeycloakError

BASE, APPLICATION, SECRET, INSTALLED, FOREIGN = sys.argv[1:6]


def client(tenant=None):
    headers = {"tenant": tenant} if tenant else {}
    return KeycloakOpenID(
        server_url=f"{BASE}/v1/id/auth/", realm_name="olt", client_id=APPLICATION, client_secret_key=SECRET, custom_headers=headers
    )


def claims(tenant=None):
    one = client(tenant)
    token = one.token(grant_type="client_credentials")
    found = one.decode_token(token["access_token"], validate=True)
    assert found["azp"] == APPLICATION, found
    assert one.introspect(token["access_token"])["active"]
    return found


assert claims(INSTALLED)["tenant"] == INSTALLED
assert "tenant" not in claims()
try:
    claims(FOREIGN)
    raise SystemExit("a token for a tenant that has not installed it")
except KeycloakError as refused:
    assert refused.response_code == 400 and b"invalid_grant" in refused.response_body, refused
print("ok python-keycloak")
