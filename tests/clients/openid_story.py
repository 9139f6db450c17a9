"""python-keycloak and Authlib against the realm: openid_story.py BASE EMAIL PASSWORD

The gateway knows a confidential client `backend` with the callback http://127.0.0.1:9999/cb.
"""

import html
import re
import sys
from urllib.parse import parse_qs, urljoin, urlparse

import requests
from authlib.integrations.requests_client import OAuth2Session
from keycloak import KeycloakOpenID
from keycloak.exceptions import KeycloakError

BASE, EMAIL, PASSWORD = sys.argv[1:4]
CALLBACK = "http://127.0.0.1:9999/cb"
SECRET = "s3cr3t-of-the-backend"


def browse(url):
    """Signs in, consents, and gives back the address the browser would leave for."""
    session = requests.Session()
    response = session.get(url, allow_redirects=False)
    for _ in range(12):
        if response.is_redirect:
            target = urljoin(response.url, response.headers["location"])
            if target.startswith(CALLBACK):
                return target
            response = session.get(target, allow_redirects=False)
            continue
        page = response.text
        fields = {html.unescape(n): html.unescape(v) for n, v in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page)}
        action = urljoin(response.url, html.unescape(re.search(r'<form[^>]* action="([^"]*)"', page).group(1)))
        if "<title>Sign in" in page:
            fields.update(email=EMAIL, password=PASSWORD)
        else:
            fields.update(consent="allow")
        response = session.post(action, data=fields, allow_redirects=False)
    raise SystemExit("going in circles")


def keycloak():
    client = KeycloakOpenID(server_url=f"{BASE}/v1/id/auth/", realm_name="olt", client_id="backend", client_secret_key=SECRET)
    known = client.well_known()
    assert known["issuer"] == f"{BASE}/v1/id/auth/realms/olt", known
    assert len(client.public_key()) > 300
    token = client.token(grant_type="client_credentials")
    assert token["expires_in"] == 864000 and "expires_at" in token, token
    claims = client.decode_token(token["access_token"], validate=True)
    assert claims["azp"] == "backend" and claims["tenant"], claims
    assert client.introspect(token["access_token"])["active"]

    url = client.auth_url(redirect_uri=CALLBACK, scope="openid email profile", state="abc")
    answer = parse_qs(urlparse(browse(url)).query)
    assert answer["state"] == ["abc"], answer
    tokens = client.token(grant_type="authorization_code", code=answer["code"][0], redirect_uri=CALLBACK)
    info = client.userinfo(tokens["access_token"])
    assert info["email"] == EMAIL and info["emailVerified"] and "twoFactorAuthEnabled" in info, info
    again = client.refresh_token(tokens["refresh_token"])
    assert again["session_state"] == tokens["session_state"]
    client.logout(again["refresh_token"])
    try:
        client.refresh_token(again["refresh_token"])
    except KeycloakError as error:
        assert error.response_code == 400 and b"invalid_grant" in error.response_body, error
    else:
        raise SystemExit("a refresh token outlived the logout")
    print("ok python-keycloak")


def authlib():
    realm = f"{BASE}/v1/id/auth/realms/olt/protocol/openid-connect"
    session = OAuth2Session("backend", SECRET, scope="openid email", redirect_uri=CALLBACK, code_challenge_method="S256")
    verifier = "v" * 50
    url, state = session.create_authorization_url(f"{realm}/auth", code_verifier=verifier, response_mode="query")
    token = session.fetch_token(f"{realm}/token", authorization_response=browse(url), code_verifier=verifier, state=state)
    assert token["token_type"].lower() == "bearer"
    assert session.get(f"{realm}/userinfo").json()["email"] == EMAIL
    print("ok authlib")


keycloak()
authlib()
