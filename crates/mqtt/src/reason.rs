//! Reason codes (MQTT 5, 2.4) and how they look on 3.1.1.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why something went as it did, on the wire one byte; 0x80 and above are failures (MQTT 5, 2.4).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name = $code,)* }

        impl Reason {
            /// The reason with this code, if the standard knows it.
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// In words, for logs and reason strings.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// Success, normal disconnection, or granted `QoS` 0, by packet.
    Success = 0x00, "success";
    /// Granted `QoS` 1.
    GrantedQos1 = 0x01, "granted QoS 1";
    /// Granted `QoS` 2.
    GrantedQos2 = 0x02, "granted QoS 2";
    /// The client leaves but wants its will published.
    DisconnectWithWill = 0x04, "disconnect with will message";
    /// Accepted; nobody subscribes.
    NoMatchingSubscribers = 0x10, "no matching subscribers";
    /// There was no such subscription.
    NoSubscriptionExisted = 0x11, "no subscription existed";
    /// Enhanced authentication goes on.
    ContinueAuthentication = 0x18, "continue authentication";
    /// The client starts to authenticate anew.
    ReAuthenticate = 0x19, "re-authenticate";
    /// Unspecified failure.
    Unspecified = 0x80, "unspecified error";
    /// The bytes are not a packet.
    MalformedPacket = 0x81, "malformed packet";
    /// The packet is not allowed here.
    ProtocolError = 0x82, "protocol error";
    /// Valid, but not taken by this server.
    ImplementationSpecific = 0x83, "implementation specific error";
    /// Unknown protocol level.
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version";
    /// The client id is not allowed.
    ClientIdNotValid = 0x85, "client identifier not valid";
    /// Wrong user name or password.
    BadUserNameOrPassword = 0x86, "bad user name or password";
    /// Recognised, but not allowed.
    NotAuthorized = 0x87, "not authorized";
    /// Not now.
    ServerUnavailable = 0x88, "server unavailable";
    /// Too much to do.
    ServerBusy = 0x89, "server busy";
    /// Never again.
    Banned = 0x8A, "banned";
    /// The server stops.
    ServerShuttingDown = 0x8B, "server shutting down";
    /// Enhanced authentication is not offered.
    BadAuthenticationMethod = 0x8C, "bad authentication method";
    /// Nothing heard for one and a half times the keep alive.
    KeepAliveTimeout = 0x8D, "keep alive timeout";
    /// Another connection uses the same client id.
    SessionTakenOver = 0x8E, "session taken over";
    /// The topic filter is not allowed.
    TopicFilterInvalid = 0x8F, "topic filter invalid";
    /// The topic name is not allowed.
    TopicNameInvalid = 0x90, "topic name invalid";
    /// The packet identifier is in use.
    PacketIdentifierInUse = 0x91, "packet identifier in use";
    /// The packet identifier is unknown.
    PacketIdentifierNotFound = 0x92, "packet identifier not found";
    /// More unacknowledged publishes than agreed.
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded";
    /// Alias 0, too large or never set.
    TopicAliasInvalid = 0x94, "topic alias invalid";
    /// The packet is larger than agreed.
    PacketTooLarge = 0x95, "packet too large";
    /// Too many messages in too short a time.
    MessageRateTooHigh = 0x96, "message rate too high";
    /// A limit or plan is used up.
    QuotaExceeded = 0x97, "quota exceeded";
    /// Closed by an operator.
    AdministrativeAction = 0x98, "administrative action";
    /// The payload is not what its format indicator says.
    PayloadFormatInvalid = 0x99, "payload format invalid";
    /// Retained messages are not offered.
    RetainNotSupported = 0x9A, "retain not supported";
    /// The `QoS` is not offered.
    QosNotSupported = 0x9B, "QoS not supported";
    /// Use another server for now.
    UseAnotherServer = 0x9C, "use another server";
    /// Use another server from now on.
    ServerMoved = 0x9D, "server moved";
    /// Shared subscriptions are not offered.
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported";
    /// Connections come too fast.
    ConnectionRateExceeded = 0x9F, "connection rate exceeded";
    /// The credential's or connection's time is over.
    MaximumConnectTime = 0xA0, "maximum connect time";
    /// Subscription identifiers are not offered.
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported";
    /// Wildcards are not offered.
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported";
}

impl Reason {
    /// The byte on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Is it a failure?
    #[must_use]
    pub fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// The CONNACK return code of 3.1.1 (3.2.2.3) nearest to this reason; `None` when 3.1.1 can only close the connection.
    #[must_use]
    pub fn connack_v3(self) -> Option<u8> {
        Some(match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdNotValid => 2,
            Self::ServerUnavailable
            | Self::ServerBusy
            | Self::ServerShuttingDown
            | Self::ConnectionRateExceeded
            | Self::UseAnotherServer => 3,
            Self::BadUserNameOrPassword | Self::BadAuthenticationMethod => 4,
            Self::NotAuthorized | Self::Banned | Self::QuotaExceeded => 5,
            _ => return None,
        })
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}
