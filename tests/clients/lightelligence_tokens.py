"""Tokens of the realm by python-keycloak, as JSON: lightelligence_tokens.py BASE EMAIL PASSWORD

The gateway knows a confidential client `backend` with the callback http://127.0.0.1:9999/cb.
"""

import html
import json
import re
import sys
from urllib.parse import parse_qs, urljoin, urlparse

import requests
from keycloak import KeycloakOpenID

BASE, EMAIL, PASSWORD = sys.argv[1:4]
CALLBACK = "http://127.0.0.1:9999/cb"


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
        fields = {
            html.unescape(n): html.unescape(v)
            for n, v in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', response.text)
        }
        action = urljoin(response.url, html.unescape(re.search(r'<form[^>]* action="([^"]*)"', response.text).group(1)))
        fields.update(dict(email=EMAIL, password=PASSWORD) if "<title>Sign in" in response.text else dict(consent="allow"))
        response = session.post(action, data=fields, allow_redirects=False)
    raise SystemExit("going in circles")


client = KeycloakOpenID(server_url=f"{BASE}/v1/id/auth/", realm_name="olt", client_id="backend", client_secret_key="s3cr3t-of-the-backend")
application = client.token(grant_type="client_credentials")
url = client.auth_url(redirect_uri=CALLBACK, scope="openid email profile", state="abc")
code = parse_qs(urlparse(browse(url)).query)["code"][0]
user = client.token(grant_type="authorization_code", code=code, redirect_uri=CALLBACK)
assert client.userinfo(user["access_token"])["email"] == EMAIL
print(json.dumps({"application": application["access_token"], "user": user["access_token"]}))
