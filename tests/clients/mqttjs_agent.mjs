// mqtt.js driven by lines: one JSON command a line in, one JSON event a line out (the protocol stands in conversation.py).
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const mqtt = createRequire(process.argv[2] + '/')('mqtt');
const handles = new Map();
const tell = (as, event, more = {}) => process.stdout.write(JSON.stringify({ as, event, ...more }) + '\n');

function connect(o) {
  const options = {
    host: o.tls ? 'localhost' : '127.0.0.1', port: o.port, protocol: (o.web ? 'ws' : 'mqtt') + (o.tls ? 's' : ''), path: '/mqtt',
    clientId: o.id, clean: o.clean,
    protocolVersion: o.version, protocolId: o.version === 3 ? 'MQIsdp' : 'MQTT', reconnectPeriod: 0, connectTimeout: 8000,
    resubscribe: false, family: 4,
  };
  if (o.version === 5 && o.expiry) options.properties = { sessionExpiryInterval: o.expiry };
  if (o.will) options.will = { topic: o.will.topic, payload: o.will.payload, qos: o.will.qos, retain: false };
  if (o.tls) {
    options.ca = readFileSync(o.tls.ca);
    if (o.tls.cert) Object.assign(options, { cert: readFileSync(o.tls.cert), key: readFileSync(o.tls.key) });
    if (o.tls.version === '1.2') options.maxVersion = 'TLSv1.2';
  }
  const client = mqtt.connect(options);
  const state = { client, said: false, left: false };
  handles.set(o.as, state);
  const refused = (code, why) => {
    if (!state.said) tell(o.as, 'refused', { code, why });
    state.said = true;
  };
  client.on('connect', (ack) => { state.said = true; tell(o.as, 'connected', { session: ack.sessionPresent }); });
  client.on('error', (e) => refused(typeof e.code === 'number' ? e.code : null, e.message));
  client.on('close', () => {
    if (!state.said) refused(null, 'closed');
    else if (client.connected === false && !state.left && state.open) tell(o.as, 'closed', {});
  });
  client.on('connect', () => { state.open = true; });
  client.on('message', (topic, payload, packet) =>
    tell(o.as, 'message', { topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain }));
}

const acts = {
  connect,
  subscribe: (o, s) => s.client.subscribe(o.filters, { qos: o.qos }, (e, granted) =>
    tell(o.as, 'subscribed', { granted: (granted ?? []).map((g) => g.qos), why: e?.message })),
  publish: (o, s) => s.client.publish(o.topic, o.payload, { qos: o.qos, retain: o.retain }, () => tell(o.as, 'published')),
  disconnect: (o, s) => { s.left = true; s.client.end(false, {}, () => tell(o.as, 'gone')); },
  kill: (o, s) => { s.left = true; s.client.stream.destroy(); s.client.end(true); tell(o.as, 'gone'); },
};
createInterface({ input: process.stdin }).on('line', (line) => {
  const o = JSON.parse(line);
  acts[o.do](o, handles.get(o.as));
}).on('close', () => process.exit(0));
