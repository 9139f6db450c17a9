//! MQTT 3.1.1 and 5: codec, session, topic tree over any byte stream.
