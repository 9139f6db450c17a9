"""The Open IoT SDK for Python (oisp 0.2.1), unmodified.

    open_iot_story.py API_ROOT USER PASSWORD
"""

import sys

import oisp
from oisp.client import OICException

api, user, password = sys.argv[1:]


def refused(function, *arguments):
    try:
        function(*arguments)
    except OICException as problem:
        return problem
    raise AssertionError(f"{function} was not refused")


client = oisp.Client(api)
assert client.get_server_info()["isHealthy"] is True
assert "401" in str(refused(client.auth, user, "wrong_password"))
client.auth(user, password)
assert client.user_id and not client.get_user_token().is_expired() or client.get_user_token().typ == "JWT"

me = client.get_user()
assert (me.email, me.tc_accepted) == (user, True), me.__dict__
me.update_attributes({"phone": "123456789"})
assert client.get_user().attributes == {"phone": "123456789"}

before = client.get_accounts()
account = client.create_account("test_account")
assert refused(account.get_activation_code).code == OICException.NOT_AUTHORIZED
client.auth(user, password)
[account] = [a for a in client.get_accounts() if a not in before]
assert (account.name, account.role) == ("test_account", "admin")
code = account.get_activation_code()
assert len(code) == 8 and account.get_activation_code() == code
assert account.refresh_activation_code() != code
assert any(a == account for a in client.get_user().accounts)

client.request_user_activation(user)
client.reset_password_request_mail(user)
assert refused(client.reset_password_submit_new, "0123456789abcdef", "Receiver12345").code == OICException.INVALID_INTERACTION_TOKEN
client.change_user_password(user, password, "Receiver12345")
client.auth(user, "Receiver12345")
client.delete(account.url, expect=204)
client.auth(user, "Receiver12345")
assert client.get_accounts() == before
print("ok oisp")
