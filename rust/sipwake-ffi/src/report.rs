//! The part of a report that the platform layers add.

use sipwake::core::record;

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident,)+ })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
        pub enum $name { $($(#[doc = $meaning])+ $variant,)+ }

        impl From<$name> for record::$name {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant,)+ }
            }
        }
    )+};
}

words! {
    /// Something in the phone's settings that keeps a call from ringing.
    Obstacle {
        /// No notification of this app is shown.
        NotificationsOff,
        /// Android: the channel of incoming calls is off, or too quiet to ring.
        ChannelOff,
        /// Android: an incoming call shows as a small notification only.
        NoFullScreen,
        /// Android: there are no Google Play services.
        NoPlayServices,
        /// Android: Google Play services are too old.
        OldPlayServices,
        /// Android: the user restricted the app's battery use.
        BackgroundRestricted,
        /// Android: the app is in the restricted standby bucket.
        RarelyUsed,
        /// Android: Data Saver is on, and the app is not exempt.
        DataSaver,
        /// Android: the system will take away the app's permissions and stop its messages.
        Hibernation,
        /// The app may not reach servers in the local network.
        NoLocalNetwork,
        /// Android: this phone's maker stops apps in the background.
        MakerStopsApps,
        /// Android: after a restart of the phone, log-outs wait until the app is opened.
        NotAfterRestart,
        /// Android: the app is subject to Doze.
        SubjectToDoze,
        /// Android: the last push that was sent with high priority came with normal one.
        Deprioritised,
        /// Do not disturb, or a Focus, silences calls.
        DoNotDisturb,
        /// iOS: background refresh is off for the app.
        BackgroundRefreshOff,
        /// The battery saver is on.
        LowPower,
        /// The app may not use the microphone.
        NoMicrophone,
        /// iOS: notifications of this app make no sound.
        NotificationsSilent,
        /// iOS: the app lacks the background mode `voip`, or CallKit says that it is not entitled to show calls.
        NotEntitled,
        /// iOS: the app's provisioning profile allows no pushes.
        NoPushEntitlement,
        /// iOS: the app's tokens belong to another environment than the app tells the server.
        WrongPushEnvironment,
        /// iOS: the phone's block list hid the last call.
        CallerBlocked,
        /// Something else.
        Other,
    }
    /// Android's standby buckets.
    StandbyBucket {
        /// The app is in use.
        Active,
        /// It is used every day.
        WorkingSet,
        /// It is used often.
        Frequent,
        /// It is seldom used.
        Rare,
        /// It hardly may run.
        Restricted,
    }
    /// How a phone is connected.
    Network {
        /// Not at all.
        None,
        /// By a mobile network.
        Mobile,
        /// By Wi-Fi.
        WiFi,
        /// By a cable.
        Ethernet,
        /// Through a VPN.
        Vpn,
        /// In another way.
        Other,
    }
}

/// What the app's platform layer knows about the phone and the app. Leave out what you do not know.
#[derive(Debug, Clone, Default, uniffi::Record)]
pub struct PhoneState {
    /// The phone's settings that keep a call from ringing.
    #[uniffi(default = [])]
    pub obstacles: Vec<Obstacle>,
    /// Android's standby bucket (`UsageStatsManager.getAppStandbyBucket`).
    #[uniffi(default = None)]
    pub bucket: Option<StandbyBucket>,
    /// How the phone is connected.
    #[uniffi(default = None)]
    pub network: Option<Network>,
    /// The last push's priority as it was delivered (`RemoteMessage.getPriority`).
    #[uniffi(default = None)]
    pub priority: Option<crate::payload::Priority>,
    /// iOS: whether the last push had to be reported (`PKVoIPPushMetadata.mustReport`).
    #[uniffi(default = None)]
    pub must_report: Option<bool>,
}

impl From<PhoneState> for record::Platform {
    fn from(state: PhoneState) -> Self {
        let priority = state.priority.map(|priority| match priority {
            crate::payload::Priority::High => record::Priority::High,
            crate::payload::Priority::Normal => record::Priority::Normal,
        });
        Self {
            obstacles: state.obstacles.into_iter().map(Into::into).collect(),
            bucket: state.bucket.map(Into::into),
            network: state.network.map(Into::into),
            priority,
            must_report: state.must_report,
        }
    }
}
