// The platform's own SDK, unmodified, for tenants, users, roles and applications: story.js BASE ALICE CAROL ALICE_ID CAROL_ID CAROL_TENANT CAROL_EMAIL
// ALICE and CAROL are {access_token, refresh_token} as JSON, made for the client `portal`.
const assert = require("node:assert/strict");

const [base, aliceText, carolText, aliceId, carolId, carolTenant, carolEmail] = process.argv.slice(2);
const { User, Tenant, Role, Application, ApplicationDeveloper } = require("@lightelligence/browser-sdk/dist/cjs");
const environment = require("@lightelligence/browser-sdk/dist/cjs/tools/environmentProvider").default;
const users = require("@lightelligence/browser-sdk/dist/cjs/tools/userManagerProvider").default;

environment.set({ apiUri: `${base}/v1` });
const alice = JSON.parse(aliceText);
const carol = JSON.parse(carolText);
let passed = 0;

const as = (user) => users.set({ getUser: async () => user });
const good = (answer, status) => {
  assert.equal(answer.httpStatusCode, status, JSON.stringify(answer));
  passed += 1;
  return answer.data;
};

// As UserManager.changeTenant of later versions does it.
async function change(user, tenant) {
  const body = new URLSearchParams({ client_id: "portal", grant_type: "refresh_token", refresh_token: user.refresh_token });
  const response = await fetch(`${base}/v1/id/auth/realms/olt/protocol/openid-connect/token`, {
    method: "POST",
    headers: { "Content-Type": "application/x-www-form-urlencoded", "X-Requested-With": tenant },
    body,
  });
  assert.equal(response.status, 200, await response.clone().text());
  Object.assign(user, await response.json());
}

async function main() {
  as(alice);
  assert.equal(good(await User.getUser(aliceId), 200).id, aliceId);
  const contact = { title: "Mr.", firstname: "A", lastname: "B", email: "a@example.com" };
  const company = { name1: "A", street: "S", housenum: "1", postcode: "1", city: "C", countryCode: "DE" };
  const payment = { shopperReference: aliceId, recurringDetailReference: "r" };
  const made = await Tenant.createTenant({
    name: "SDK works", billingContact: contact, billingCompany: company, package: { id: "OLT_FREE2019" }, payment,
  });
  const tenant = good(made, 201).id;
  assert.equal(good(await Tenant.getUserTenants(aliceId, { page: 0, pageSize: 10 }), 200).length, 2);
  await change(alice, tenant);
  assert.equal(good(await Tenant.getTenant(tenant), 200).name, "SDK works");
  assert.equal(good(await Tenant.patchTenant(tenant, { name: "SDK lab" }), 200).name, "SDK lab");

  const permissions = good(await Role.getPermissions(), 200).permissions;
  const types = permissions.find((p) => p.alias === "devicetypes:read");
  const role = good(await Role.createRole({ name: "Lookers", description: "", permissions: [{ id: types.id }] }), 201);
  assert.deepEqual(role.permissionIds, [types.id]);
  assert.equal(good(await Role.patchRole(role.id, { description: "They look" }), 200).description, "They look");
  assert.equal(good(await Role.getRole(role.id), 200).usersCount, 0);
  const roles = good(await Role.getRoles(), 200);
  assert.deepEqual(roles.map((r) => r.name), ["Lookers", "owner", "writer", "reader"]);
  assert.equal(good(await Tenant.getTenantRoles(tenant), 200).length, 4);

  const invite = good(await Tenant.createInvite(tenant, { receiverEmail: carolEmail, roles: [{ id: role.id }] }), 201);
  assert.equal(good(await Tenant.getInvites(tenant, { status: "open" }), 200).length, 1);
  as(carol);
  assert.equal(good(await User.getUserInvites(carolId, { status: "open" }), 200)[0].id, invite.id);
  assert.equal(good(await User.acceptUserInvite(carolId, invite.id), 200).status, "accepted");
  as(alice);
  const open = good(await Tenant.createInvite(tenant, { receiverEmail: "later@example.com", roleNames: ["reader"] }), 201);
  good(await Tenant.deleteInvite(tenant, open.id), 204);
  assert.equal(good(await Tenant.getTenantUsers(tenant, {}), 200).length, 2);
  assert.deepEqual(good(await Tenant.getTenantUserPermissions(tenant, carolId), 200).permissions.map((p) => p.alias), ["devicetypes:read"]);
  const reader = roles.find((r) => r.name === "reader");
  good(await Tenant.putTenantUserRoles(tenant, carolId, { roles: [{ id: reader.id }, { id: role.id }] }), 204);
  assert.equal(good(await Role.getRoleUsers(role.id), 200)[0].id, carolId);

  const created = await ApplicationDeveloper.createApplication({
    name: "SDK app", redirectUris: ["http://127.0.0.1:9999/cb"], withPublicOauth2Client: true,
  });
  const app = good(created, 201).id;
  assert.equal(created.data.oauth2Client.type, "confidental");
  good(await ApplicationDeveloper.addAllowedTenant(app, carolTenant), 200);
  assert.equal(good(await ApplicationDeveloper.getAllowedTenants(app), 200)[0].tenantId, carolTenant);
  assert.equal(good(await ApplicationDeveloper.getApplications({}), 200).length, 1);
  assert.equal(good(await ApplicationDeveloper.patchApplication(app, { teaserDescription: "A teaser" }), 200).teaserDescription, "A teaser");
  assert.equal(good(await ApplicationDeveloper.regenerateApplicationSecret(app), 201).secret.length, 16);
  as(carol);
  assert.equal(good(await Application.getApplications({ installed: false }), 200)[0].id, app);
  assert.equal(good(await Application.installApplication(app), 200).tenantId, carolTenant);
  assert.equal(good(await Application.getApplication(app), 200).installation.status, "ok");
  good(await Application.uninstallApplication(app), 204);
  as(alice);
  good(await ApplicationDeveloper.removeAllowedTenant(app, carolTenant), 204);
  assert.equal(good(await ApplicationDeveloper.getApplicationDetails(app), 200).installationsCount, 0);
  good(await ApplicationDeveloper.deleteApplication(app), 204);
  const gone = await ApplicationDeveloper.getApplicationDetails(app);
  assert.deepEqual([gone.httpStatusCode, gone.errorCode], [404, "APP_RESOURCE_NOT_FOUND"]);

  good(await Tenant.deleteTenantUser(tenant, carolId), 204);
  good(await Role.deleteRole(role.id), 204);
  good(await Tenant.deleteTenant(tenant), 204);
  console.log(`${passed} passed`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
