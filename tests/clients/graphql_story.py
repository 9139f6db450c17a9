"""gql 4 against the GraphQL face: graphql_story.py URL EMAIL PASSWORD"""

import sys

from gql import Client, gql
from gql.transport.requests import RequestsHTTPTransport

URL, EMAIL, PASSWORD = sys.argv[1:4]

# The schema is fetched by introspection, and every query below is checked against it before it is sent.
client = Client(transport=RequestsHTTPTransport(url=URL), fetch_schema_from_transport=True)
login = gql("mutation ($input: LoginInput!) { login(input: $input) { token message code success } }")
login.variable_values = {"input": {"email": EMAIL, "password": PASSWORD, "affiliation": "FP_AUS"}}
reply = client.execute(login)["login"]
assert (reply["code"], reply["message"], reply["success"]) == ("SUCCESS", "OK", True), reply
session = Client(transport=RequestsHTTPTransport(url=URL, headers={"authorization": f"Bearer {reply['token']}"}), fetch_schema_from_transport=True)
me = session.execute(gql("{ me { user { email } tenant { name affiliation } } things { items { key name } next } }"))
assert me["me"]["user"]["email"] == EMAIL and me["me"]["tenant"]["affiliation"] == "FP_AUS", me
assert [thing["key"] for thing in me["things"]["items"]] == ["dev-1"], me
print("ok gql")
