"""What an MQTT client may rely on, told with Eclipse Paho 2.1 in both protocol levels.

    paho_story.py --level 3|5 --port PORT [--ca FILE --cert FILE --key FILE] [--username U --password P] [--websocket PATH]
                  --topic TOPIC --forbidden TOPIC

TOPIC is one the client may both publish and subscribe to; FORBIDDEN is one it may not. Each step prints its name and `ok`;
the first that fails prints why and ends the program with code 1.
"""

import argparse
import os
import queue
import ssl
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

parser = argparse.ArgumentParser()
parser.add_argument("--level", type=int, choices=[3, 5], required=True)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--ca")
parser.add_argument("--cert")
parser.add_argument("--key")
parser.add_argument("--username")
parser.add_argument("--password")
parser.add_argument("--websocket")
parser.add_argument("--client", default="paho")
parser.add_argument("--topic", required=True)
parser.add_argument("--forbidden", required=True)
parser.add_argument("--skip", action="append", default=[], help="a step to leave out")
args = parser.parse_args()
V5 = args.level == 5
WAIT = 10


class Device:
    """One client: its events are put in queues, so that a step can wait for them."""

    def __init__(self, name, clean=True, expiry=0, will=None, password=None):
        kind = dict(protocol=mqtt.MQTTv5) if V5 else dict(protocol=mqtt.MQTTv311, clean_session=clean)
        transport = "websockets" if args.websocket else "tcp"
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, transport=transport, **kind)
        if args.websocket:
            self.client.ws_set_options(path=args.websocket)
        if args.username is not None:
            self.client.username_pw_set(args.username, password if password is not None else args.password)
        if args.ca:
            self.client.tls_set(ca_certs=args.ca, certfile=args.cert, keyfile=args.key, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        if will:
            self.client.will_set(*will)
        self.clean, self.expiry = clean, expiry
        self.connected, self.ended = queue.Queue(), queue.Queue()
        self.messages, self.published, self.subscribed = queue.Queue(), queue.Queue(), queue.Queue()
        self.client.on_connect = lambda c, u, flags, reason, p: self.connected.put((flags.session_present, reason, p))
        self.client.on_disconnect = lambda c, u, flags, reason, p: self.ended.put(reason)
        self.client.on_message = lambda c, u, message: self.messages.put(message)
        self.client.on_publish = lambda c, u, mid, reason, p: self.published.put((mid, reason))
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.subscribed.put(reasons)

    def connect(self):
        more = {}
        if V5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = self.expiry
            more = dict(clean_start=self.clean, properties=properties)
        self.client.connect(args.host, args.port, keepalive=30, **more)
        self.client.loop_start()
        self.present, self.reason, self.properties = self.connected.get(timeout=WAIT)
        return self

    def subscribe(self, *topics, **more):
        self.client.subscribe(list(topics), **more)
        return self.subscribed.get(timeout=WAIT)

    def publish(self, payload, qos=1, topic=None, **more):
        info = self.client.publish(topic or args.topic, payload, qos=qos, **more)
        mid, reason = self.published.get(timeout=WAIT)
        assert mid == info.mid, (mid, info.mid)
        return reason

    def receive(self):
        return self.messages.get(timeout=WAIT)

    def quiet(self, seconds=0.5):
        try:
            raise AssertionError(f"unexpected message {self.messages.get(timeout=seconds).payload!r}")
        except queue.Empty:
            pass

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def name(suffix):
    return f"{args.client}-{args.level}-{suffix}"


def options(qos, **more):
    return SubscribeOptions(qos=qos, **more) if V5 else qos


def each_quality_of_service():
    a = Device(name("qos")).connect()
    assert not a.reason.is_failure, a.reason
    reasons = a.subscribe((args.topic, options(2)))
    granted = reasons[0].value
    assert granted in (1, 2), reasons
    for qos in (0, 1, 2):
        a.publish(f'{{"qos":{qos}}}', qos=qos)
        message = a.receive()
        assert message.payload == f'{{"qos":{qos}}}'.encode(), message.payload
        assert message.topic == args.topic, message.topic
        assert message.qos == min(qos, granted), (message.qos, qos, granted)
        assert not message.retain
    a.quiet()
    a.close()


def order():
    a = Device(name("order")).connect()
    a.subscribe((args.topic, options(1)))
    for n in range(200):
        a.client.publish(args.topic, f'{{"n":{n}}}', qos=1)
    got = [a.receive().payload for _ in range(200)]
    assert got == [f'{{"n":{n}}}'.encode() for n in range(200)], got[:5]
    a.close()


def unsubscribed():
    a = Device(name("unsubscribed")).connect()
    a.subscribe((args.topic, options(1)))
    done = queue.Queue()
    a.client.on_unsubscribe = lambda *rest: done.put(True)
    a.client.unsubscribe(args.topic)
    done.get(timeout=WAIT)
    a.publish('{"late":1}')
    a.quiet()
    a.close()


def forbidden_topic():
    a = Device(name("forbidden")).connect()
    reasons = a.subscribe((args.forbidden, options(1)))
    assert reasons[0].is_failure, reasons
    a.close()
    b = Device(name("forbidden-publish")).connect()
    b.client.publish(args.forbidden, '{"no":1}', qos=1)
    if V5:
        _, reason = b.published.get(timeout=WAIT)
        assert reason.is_failure, reason
    else:  # 3.1.1 has no way to say no: the connection ends, or the message is taken and dropped
        time.sleep(0.3)
    b.close()


def session_is_kept():
    expiry = 3600
    a = Device(name("kept"), clean=False, expiry=expiry).connect()
    assert not a.present
    a.subscribe((args.topic, options(1)))
    a.close()
    b = Device(name("other")).connect()
    for n in range(5):
        b.publish(f'{{"away":{n}}}')
    b.close()
    a = Device(name("kept"), clean=False, expiry=expiry).connect()
    assert a.present, "session present"
    got = [a.receive().payload for _ in range(5)]
    assert got == [f'{{"away":{n}}}'.encode() for n in range(5)], got
    a.close()
    a = Device(name("kept"), clean=True).connect()
    assert not a.present, "a clean start forgets"
    a.quiet()
    a.close()


def retained():
    a = Device(name("retainer")).connect()
    a.publish('{"kept":1}', retain=True)
    b = Device(name("retained")).connect()
    b.subscribe((args.topic, options(1)))
    message = b.receive()
    assert message.retain and message.payload == b'{"kept":1}', message
    a.publish(b"", retain=True)
    gone = b.receive()
    assert gone.payload == b"" and not gone.retain
    b.close()
    c = Device(name("cleared")).connect()
    c.subscribe((args.topic, options(1)))
    c.quiet()
    c.close()
    a.close()


def will():
    watcher = Device(name("watcher")).connect()
    watcher.subscribe((args.topic, options(1)))
    a = Device(name("dying"), will=(args.topic, '{"gone":1}', 1, False)).connect()
    a.client.loop_stop()
    sock = a.client.socket()  # dropped without a DISCONNECT
    sock.close() if args.websocket else sock.shutdown(2)
    assert watcher.receive().payload == b'{"gone":1}'
    b = Device(name("leaving"), will=(args.topic, '{"gone":2}', 1, False)).connect()
    b.close()
    watcher.quiet()
    watcher.close()


def takeover():
    a = Device(name("twice")).connect()
    b = Device(name("twice")).connect()
    assert not b.reason.is_failure
    a.ended.get(timeout=WAIT)
    a.client.loop_stop()
    b.subscribe((args.topic, options(1)))
    b.publish('{"still":"here"}')
    assert b.receive().payload == b'{"still":"here"}'
    b.close()


def wrong_password():
    if args.username is None:
        return "no password is used"
    a = Device(name("wrong"), password="not the password").connect()
    assert a.reason.is_failure, a.reason
    a.client.loop_stop()


def large_payload():
    a = Device(name("large")).connect()
    a.subscribe((args.topic, options(1)))
    payload = '{"x":"' + "y" * 100_000 + '"}'
    a.publish(payload)
    assert a.receive().payload == payload.encode()
    a.close()


def properties():
    a = Device(name("properties")).connect()
    a.subscribe((args.topic, options(1)))
    p = Properties(PacketTypes.PUBLISH)
    p.ContentType = "application/json"
    p.ResponseTopic = args.topic
    p.CorrelationData = b"\x00\x01"
    p.UserProperty = [("a", "1"), ("a", "2")]
    p.MessageExpiryInterval = 60
    p.PayloadFormatIndicator = 1
    a.publish('{"p":1}', properties=p)
    got = a.receive().properties
    assert got.ContentType == "application/json"
    assert got.ResponseTopic == args.topic and got.CorrelationData == b"\x00\x01"
    assert got.UserProperty == [("a", "1"), ("a", "2")], got.UserProperty
    assert got.MessageExpiryInterval <= 60 and got.PayloadFormatIndicator == 1
    a.close()


def no_local():
    a = Device(name("no-local")).connect()
    a.subscribe((args.topic, options(1, noLocal=True)))
    a.publish('{"own":1}')
    a.quiet()
    b = Device(name("no-local-other")).connect()
    b.publish('{"other":1}')
    assert a.receive().payload == b'{"other":1}'
    a.close()
    b.close()


def retain_handling():
    a = Device(name("handling")).connect()
    a.publish('{"kept":2}', retain=True)
    b = Device(name("never")).connect()
    b.subscribe((args.topic, options(1, retainHandling=2)))
    b.quiet()
    b.close()
    c = Device(name("as-published")).connect()
    c.subscribe((args.topic, options(1, retainAsPublished=True)))
    assert c.receive().retain
    a.publish('{"kept":3}', retain=True)
    assert c.receive().retain, "retain as published"
    a.publish(b"", retain=True)
    c.receive()
    a.close()
    c.close()


def topic_alias():
    a = Device(name("alias")).connect()
    if not getattr(a.properties, "TopicAliasMaximum", 0):
        a.close()
        return "the server takes none"
    a.subscribe((args.topic, options(1)))
    p = Properties(PacketTypes.PUBLISH)
    p.TopicAlias = 1
    a.publish('{"alias":1}', properties=p)
    assert a.receive().topic == args.topic
    a.close()


def message_expires():
    a = Device(name("expiring"), clean=False, expiry=3600).connect()
    a.subscribe((args.topic, options(1)))
    a.close()
    b = Device(name("expirer")).connect()
    p = Properties(PacketTypes.PUBLISH)
    p.MessageExpiryInterval = 1
    b.publish('{"short":1}', properties=p)
    b.publish('{"long":1}')
    b.close()
    time.sleep(2)
    a = Device(name("expiring"), clean=False, expiry=3600).connect()
    assert a.receive().payload == b'{"long":1}'
    a.quiet()
    a.close()
    Device(name("expiring"), clean=True).connect().close()


STEPS = [each_quality_of_service, order, unsubscribed, forbidden_topic, session_is_kept, retained, will, takeover, wrong_password, large_payload]
if V5:
    STEPS += [properties, no_local, retain_handling, topic_alias, message_expires]

for step in STEPS:
    if step.__name__ in args.skip:
        continue
    try:
        skipped = step()
    except BaseException as error:  # paho's threads would keep the program alive
        import traceback

        traceback.print_exc()
        print(f"{step.__name__}: FAILED: {error!r}", flush=True)
        sys.stdout.flush()
        os._exit(1)
    print(f"{step.__name__}: {'skipped, ' + skipped if skipped else 'ok'}", flush=True)
os._exit(0)
