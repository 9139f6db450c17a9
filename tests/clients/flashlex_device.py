"""A device as FlashLex's users run it: the unmodified SDK (flashlexiot 0.9.16) on an unpacked distribution.

    flashlex_device.py collect   --dir DIR --message JSON
    flashlex_device.py subscribe --dir DIR --expect N [--seconds S]
    flashlex_device.py verify    --dir DIR

DIR is the zip of GET /things/{id}/dist, unpacked. What the device has to say goes to standard output, one JSON object a line;
what the SDK prints goes to standard error. `subscribe` ends when N messages are in its store or S seconds are over.
"""

import argparse
import json
import os
import sys
import time

say_to = sys.stdout
sys.stdout = sys.stderr


def say(**fields):
    print(json.dumps(fields), file=say_to, flush=True)


def load(folder):
    # The SDK posts over HTTPS with the system's authorities; this is how a user points it at the gateway's own.
    os.environ["REQUESTS_CA_BUNDLE"] = os.path.join(folder, "root-ca-cert.pem")
    import yaml

    with open(os.path.join(folder, "config.yml")) as file:
        config = yaml.safe_load(file)
    # What bootstrap.py sets from its options -d and -k.
    data = os.path.join(folder, "data")
    os.makedirs(data, exist_ok=True)
    config["flashlex"]["app"]["db"]["dataPath"] = data
    config["flashlex"]["thing"]["keys"]["path"] = folder
    return config


def stored(config):
    db = config["flashlex"]["app"]["db"]
    try:
        with open(os.path.join(db["dataPath"], db["subscriptionData"])) as file:
            documents = json.load(file)
    except (FileNotFoundError, json.JSONDecodeError):  # not yet there, or being rewritten
        return []
    return sorted(documents.values(), key=lambda d: d["timestamp"])


def collect(config, arguments):
    from flashlexiot.sdk import FlashlexSDK

    say(status=FlashlexSDK(config).collectMessage(json.loads(arguments.message)))


def subscribe(config, arguments):
    from flashlexiot.backend.callbacks import callbackFactory
    from flashlexiot.backend.thread import threadTypeFactory

    config["flashlex"]["app"]["thread"] = "subscribe"
    config["flashlex"]["app"]["callback"] = "persistent"
    handler = callbackFactory.get_callback_for_config(config)
    thread = threadTypeFactory.get_thread_for_config(config, handler.handleMessage)
    thread.daemon = True
    client = thread._iotClient
    plain = client.subscribe

    def subscribe_and_tell(topic, qos, callback):
        done = plain(topic, qos, callback)
        say(event="subscribed", topic=topic)
        return done

    client.subscribe = subscribe_and_tell
    client.onOffline = lambda: say(event="offline")
    client.onOnline = lambda: say(event="online")
    thread.start()
    end = time.monotonic() + arguments.seconds
    seen = 0
    while time.monotonic() < end:
        messages = stored(config)
        if len(messages) != seen:
            seen = len(messages)
            say(event="stored", count=seen)
        if seen >= arguments.expect:
            time.sleep(1.0)  # a message too many would come now
            break
        if not thread.is_alive():
            say(event="died")
            break
        time.sleep(0.1)
    say(event="end", messages=[m["message"] for m in stored(config)])


def verify(config, _):
    from flashlexiot.backend.callbacks import callbackFactory
    from flashlexiot.backend.thread import threadTypeFactory

    config["flashlex"]["app"].update(thread="test", callback="test", loopCount=1)
    handler = callbackFactory.get_callback_for_config(config)
    thread = threadTypeFactory.get_thread_for_config(config, handler.handleMessage)
    thread.daemon = True
    thread.start()
    thread.join(60)
    say(event="end", alive=thread.is_alive())


parser = argparse.ArgumentParser()
parser.add_argument("command", choices=["collect", "subscribe", "verify"])
parser.add_argument("--dir", required=True)
parser.add_argument("--message", default="{}")
parser.add_argument("--expect", type=int, default=1)
parser.add_argument("--seconds", type=float, default=60)
arguments = parser.parse_args()
{"collect": collect, "subscribe": subscribe, "verify": verify}[arguments.command](load(os.path.abspath(arguments.dir)), arguments)
os._exit(0)  # the SDK's threads never end
