// The Open IoT SDK (oisp-sdk-js 1.4.2), unmodified, from sign-in to the end of an account.
//
//   node story.mjs BASE ALICE PASSWORD CAROL PASSWORD
import assert from "node:assert/strict";
import { promisify } from "node:util";
import sdk from "@open-iot-service-platform/oisp-sdk-js";

const [base, alice, alicePassword, carol, carolPassword] = process.argv.slice(2);
const { hostname, port } = new URL(base);
const { rest } = sdk({ connector: { rest: { host: hostname, port, protocol: "http", strictSSL: false, timeout: 30000 } } }).api;
const all = (module) => Object.fromEntries(Object.entries(module).filter(([, f]) => typeof f === "function").map(([n, f]) => [n, promisify(f)]));
const [auth, users, accounts, invitations, open] = [rest.auth, rest.users, rest.accounts, rest.invitation, rest.publicApi].map(all);

const signIn = async (username, password) => (await auth.getAuthToken({ body: { username, password } })).token;
const refused = async (promise, what) => {
  const error = await promise.then(() => assert.fail(`${what} was not refused`), (e) => e);
  return typeof error === "string" ? error : error.message;
};

// Anybody.
assert.equal((await open.health()).kind, "healthcheck");
assert.match((await open.getActualTime()).actualTime, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);

// Tokens.
assert.equal(await refused(signIn(alice, "wrong"), "a wrong password"), "Not Authorized");
let userToken = await signIn(alice, alicePassword);
const info = await auth.getAuthTokenInfo({ userToken });
assert.equal(info.header.alg, "RS256");
const userId = info.payload.sub;
assert.equal((await auth.getAuthUserInfo({ userToken })).email, alice);

// Users.
assert.equal((await users.updateUserInfo({ userToken, userId, body: { attributes: { phone: "123456789" } } })).status, "OK");
assert.equal((await users.getUserInfo({ userToken, userId })).attributes.phone, "123456789");
const added = await users.addUser({ body: { email: "sdk@example.com", password: "Receiver12345" } });
assert.ok(added.id);
assert.equal(JSON.parse(await refused(users.addUser({ body: { email: "sdk@example.com", password: "Receiver12345" } }), "a second one")).code, 2409);
assert.equal((await users.requestUserActivation({ body: { email: "sdk@example.com" } })).status, "OK");
assert.equal((await users.requestUserPasswordChange({ body: { email: alice } })).status, "OK");
assert.equal(JSON.parse(await refused(users.activateUser({ body: { token: "0123456789abcdef" } }), "a made-up token")).code, 2406);

// Accounts.
const made = await accounts.createAccount({ userToken, body: { name: "Garden" } });
const accountId = made.id;
assert.equal(JSON.parse(await refused(accounts.getAccountInfo({ userToken, accountId }), "the old token")).code, 401);
userToken = await signIn(alice, alicePassword);
assert.equal((await accounts.getAccountInfo({ userToken, accountId })).name, "Garden");
assert.equal((await accounts.getAccountActivationCode({ userToken, accountId })).activationCode, made.activation_code);
const code = await accounts.refreshAccountActivationCode({ userToken, accountId });
assert.match(code.activationCode, /^[0-9A-Za-z]{8}$/);
assert.equal((await accounts.updateAccount({ userToken, accountId, body: { ...made, name: "Greenhouse", attributes: { a: "b" } } })).name, "Greenhouse");

// Invitations.
const invited = await invitations.createInvitation({ userToken, accountId, body: { email: carol } });
assert.deepEqual(await invitations.getAllInvitations({ userToken, accountId }), [carol]);
let guest = await signIn(carol, carolPassword);
const [mine] = await invitations.getInvitations({ userToken: guest, email: carol });
assert.equal(mine._id, invited._id);
assert.equal(await refused(invitations.acceptInvitation({ userToken: guest, inviteId: accountId, body: { accept: true } }), "an unknown id"), "Invitation not found");
assert.equal((await invitations.acceptInvitation({ userToken: guest, inviteId: mine._id, body: { accept: true } })).accountId, accountId);
assert.equal(JSON.parse(await refused(accounts.getAccountInfo({ userToken: guest, accountId }), "the guest's old token")).code, 401);
guest = await signIn(carol, carolPassword);
const guestId = (await auth.getAuthTokenInfo({ userToken: guest })).payload.sub;
assert.equal((await accounts.getAccountUsers({ userToken, accountId })).find((u) => u.id === guestId).accounts[accountId], "user");
const promoted = { id: guestId, accounts: { [accountId]: "admin" } };
assert.equal((await accounts.changeAccountUser({ userToken, accountId, userId: guestId, body: promoted })).status, "OK");
assert.equal(await invitations.deleteInvitations({ userToken, accountId, email: carol }), "OK");
assert.equal(JSON.parse(await refused(accounts.getAccountInfo({ userToken: guest, accountId }), "a removed member")).code, 401);

// The end.
assert.equal((await accounts.deleteAccount({ userToken, accountId })).status, "Done");
const changed = await users.changeUserPassword({ userToken, username: alice, body: { currentpwd: alicePassword, password: "Receiver12345" } });
assert.equal(changed.password, "Receiver12345");
await signIn(alice, "Receiver12345");
console.log("ok oisp-sdk-js");
