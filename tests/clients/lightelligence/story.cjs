// The platform's browser SDK 0.4.2, unmodified, against a gateway: story.cjs BASE TOKEN CERTIFICATE
// It is told where the API is and whose token it has; everything else is its own.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');

const sdk = '@lightelligence/browser-sdk/dist/cjs';
const environment = require(`${sdk}/tools/environmentProvider`).default;
const users = require(`${sdk}/tools/userManagerProvider`).default;
const [Device, DeviceType, Certificates, Timeseries, Event] =
  ['device', 'deviceType', 'certificate', 'timeseries', 'event'].map(name => require(`${sdk}/modules/${name}`).default);

const [base, token, certificate] = process.argv.slice(2);
environment.set({ apiUri: `${base}/v1` });
users.set({ getUser: async () => ({ access_token: token }) });

const expect = (answer, status) => {
  assert.equal(answer.httpStatusCode, status, JSON.stringify(answer));
  return answer;
};

const eventually = async (what, check) => {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await check()) return;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  assert.fail(`not in time: ${what}`);
};

const story = async () => {
  const type = expect(await DeviceType.createDeviceType({
    name: 'RGB LED',
    schema: {
      configuration: { brightness: { type: 'number' } },
      attributes: { temperature: { type: 'number' } },
      events: { overheated: { type: 'object', properties: { temperature: { type: 'number' } } } },
      actions: { ambientLight: { type: 'object', properties: { r: { type: 'number' }, g: { type: 'number' }, b: { type: 'number' } } } },
    },
    reportingRules: [{ path: '$.attributes.temperature', reportTo: ['timeseries'] }],
  }), 201).data;
  assert.equal(expect(await DeviceType.getDeviceType(type.id), 200).data.name, 'RGB LED');
  assert.equal(expect(await DeviceType.getDeviceTypes({ deviceTypeName: 'rgb*' }), 200).meta.itemsTotal, 1);
  assert.equal(expect(await DeviceType.patchDeviceType(type.id, { manufacturer: 'OSRAM' }), 200).data.manufacturer, 'OSRAM');

  const device = expect(await Device.createDevice({ info: { name: 'LED 1', deviceTypeId: type.id, tags: ['sdk'] } }), 201).data;
  assert.deepEqual(expect(await Device.getDevice(device.id), 200).data.info.tags, ['sdk']);
  // Without arguments it asks for `/devices?`.
  assert.ok(expect(await Device.getDevices(), 200).data.some(one => one.id === device.id));
  assert.equal(expect(await Device.getDevices({ tags: 'sdk', name: 'led*', page: 0, pageSize: 5 }), 200).meta.itemsTotal, 1);
  assert.deepEqual(expect(await Device.getDeviceTags(), 200).data.filter(tag => tag.name === 'sdk'), [{ name: 'sdk' }]);
  assert.equal(expect(await Device.patchDevice(device.id, { info: { location: 'attic' } }), 200).data.info.location, 'attic');
  const action = expect(await Device.createAction(device.id, { action: 'ambientLight', payload: { r: 0, g: 0, b: 1 } }), 202);
  assert.match(action.data.actionId, /^[0-9a-f-]{36}$/);

  const cert = fs.readFileSync(certificate, 'utf8');
  const assigned = expect(await Certificates.assignCertificates(device.id, { cert, status: 'valid' }), 201).data;
  assert.equal(expect(await Certificates.getDeviceCertificates(device.id), 200).data[0].id, assigned.id);
  assert.equal(expect(await Certificates.getDeviceCertificate(device.id, assigned.id), 200).data.status, 'valid');
  assert.equal(expect(await Certificates.patchDeviceCertificate(device.id, assigned.id, { status: 'inactive' }), 200).data.status, 'inactive');

  expect(await Device.pushData(device.id, { type: 'attributes', value: { temperature: 20 } }), 202);
  await eventually('the state', async () => expect(await Device.getState(device.id), 200).data.attributes.temperature === 20);
  expect(await Device.pushData(device.id, { type: 'attributes', value: { temperature: 22 } }), 202);
  const path = '$.attributes.temperature';
  await eventually('two points', async () => expect(await Timeseries.getDeviceLastTimeseries(device.id, { path }), 200).data.length === 2);
  const point = expect(await Timeseries.getDeviceLastTimeseries(device.id, { path }), 200).data[0];
  const at = Date.parse(point.time);
  const range = { startTime: new Date(at - 60000).toISOString(), endTime: new Date(at + 60000).toISOString() };
  const mean = expect(await Timeseries.getDeviceAggregatedTimeseries(device.id, { path, aggregation: 'mean', ...range }), 200).data;
  assert.deepEqual(mean.map(one => one.value), [21]);
  expect(await Timeseries.deleteDeviceTimeseries(device.id, { path }), 204);
  assert.deepEqual(expect(await Timeseries.getDeviceLastTimeseries(device.id, { path }), 200).data, []);

  expect(await Event.createEvent(device.id, { type: 'overheated', value: { temperature: 90 } }), 202);
  await eventually('the event', async () => expect(await Event.getEvents(device.id, { page: 0 }), 200).data.length === 1);
  expect(await Device.pushData(device.id, { type: 'attributes', value: { unknown: 1 } }), 202);
  await eventually('a note', async () => expect(await Device.getLastDiagnostics(device.id), 200).data.length > 0);

  // Refusals bring a text of their own, so the SDK has none to invent.
  const refused = expect(await DeviceType.deleteDeviceType(type.id), 409);
  assert.equal(refused.errorCode, 'DEVICE_DEVICETYPE_IN_USE');
  expect(await Device.deleteDevice(device.id), 204);
  expect(await DeviceType.deleteDeviceType(type.id), 204);
  assert.ok(!expect(await Device.getDevice(device.id), 404).errorMessage.startsWith('Unknown Error'));
  console.log('ok browser-sdk');
};

story().catch((error) => {
  console.error(error);
  process.exit(1);
});
