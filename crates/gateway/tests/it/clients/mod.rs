//! Other people's clients, unmodified: the FlashLex device SDK, Eclipse Paho, Mosquitto's tools, curl.

mod flashlex_sdk;
mod mosquitto;
mod paho;
