//! One logger for the process: to Android's log, Apple's unified log or standard error, and to the app if it wants.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use log::{Log, Metadata, Record};
use sipwake::core::trace::redacted;

use crate::error::{CallbackError, SipWakeError};
use crate::outbox::Outbox;

/// How many records may wait for the app's listener. If there are more, the newest are dropped and counted.
const MAX_WAITING: usize = 256;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Things that should not happen.
    Error,
    /// Things that a developer should know.
    Warn,
    /// Milestones: registered, logged out.
    Info,
    /// For looking into a problem.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevel> for log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::Off,
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

impl From<log::Level> for LogLevel {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Error => Self::Error,
            log::Level::Warn => Self::Warn,
            log::Level::Info => Self::Info,
            log::Level::Debug => Self::Debug,
            log::Level::Trace => Self::Trace,
        }
    }
}

/// One line of the log. It holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct LogRecord {
    /// How serious it is.
    pub level: LogLevel,
    /// The part of the SDK that wrote it.
    pub target: String,
    /// The text.
    pub text: String,
    /// How many lines before this one were dropped because the listener was too slow.
    pub dropped_before: u64,
}

/// Gets every line of the log, on its own thread.
#[uniffi::export(callback_interface)]
pub trait LogListener: Send + Sync {
    /// Takes a line.
    ///
    /// # Errors
    /// An error is dropped.
    fn on_log(&self, record: LogRecord) -> Result<(), CallbackError>;
}

/// Sets how much is logged from here on. The default is `Info`.
///
/// # Errors
/// `Unavailable` if the process has another logger already.
#[uniffi::export]
pub fn set_log_level(level: LogLevel) -> Result<(), SipWakeError> {
    if !install() {
        return Err(SipWakeError::Unavailable { reason: "the process has another logger".to_owned() });
    }
    log::set_max_level(level.into());
    Ok(())
}

/// Shows the log to the app, in addition to the platform's own log. It cannot be switched off again.
///
/// # Errors
/// `Unavailable` if the process has another logger already, or the system gives no thread.
#[uniffi::export]
pub fn set_log_listener(listener: Option<Box<dyn LogListener>>) -> Result<(), SipWakeError> {
    if !install() {
        return Err(SipWakeError::Unavailable { reason: "the process has another logger".to_owned() });
    }
    let app = listener.map(AppLog::start).transpose()?;
    *LOGGER.app.write().unwrap_or_else(PoisonError::into_inner) = app;
    Ok(())
}

/// Becomes the process's logger, once. Returns `false` if there is another one.
pub(crate) fn install() -> bool {
    static OURS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *OURS.get_or_init(|| {
        let ours = log::set_logger(&LOGGER).is_ok();
        if ours {
            log::set_max_level(log::LevelFilter::Info);
        }
        ours
    })
}

static LOGGER: Logger = Logger { app: RwLock::new(None) };

struct Logger {
    app: RwLock<Option<AppLog>>,
}

impl Log for Logger {
    /// For other crates, only warnings and errors are logged. Their `debug!` does not know our secrets.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn || metadata.target().starts_with("sipwake")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = redacted(record.args().to_string().as_bytes());
        let text = text.trim_end();
        platform::write(record.level(), record.target(), text);
        if let Some(app) = &*self.app.read().unwrap_or_else(PoisonError::into_inner) {
            app.offer(record.level().into(), record.target(), text);
        }
    }

    fn flush(&self) {}
}

/// The path from the log to the app's listener.
struct AppLog {
    listener: Arc<dyn LogListener>,
    queue: Outbox,
    dropped: AtomicU64,
}

impl AppLog {
    fn start(listener: Box<dyn LogListener>) -> Result<Self, SipWakeError> {
        let queue = Outbox::start("sipwake-log", MAX_WAITING)?;
        Ok(Self { listener: listener.into(), queue, dropped: AtomicU64::new(0) })
    }

    fn offer(&self, level: LogLevel, target: &str, text: &str) {
        let dropped_before = self.dropped.swap(0, Ordering::Relaxed);
        let record = LogRecord { level, target: target.to_owned(), text: text.to_owned(), dropped_before };
        let listener = self.listener.clone();
        // If the log listener fails, there is nobody to tell.
        if !self.queue.offer(move || drop(listener.on_log(record))) {
            self.dropped.fetch_add(dropped_before + 1, Ordering::Relaxed);
        }
    }
}

#[cfg(target_os = "android")]
mod platform {
    use std::sync::LazyLock;

    use android_logger::{AndroidLogger, Config};
    use log::{Level, LevelFilter, Log, Record};

    static LOGCAT: LazyLock<AndroidLogger> =
        LazyLock::new(|| AndroidLogger::new(Config::default().with_tag("sipwake").with_max_level(LevelFilter::Trace)));

    pub(super) fn write(level: Level, target: &str, text: &str) {
        LOGCAT.log(&Record::builder().level(level).target(target).args(format_args!("{target}: {text}")).build());
    }
}

#[cfg(all(target_vendor = "apple", feature = "oslog"))]
mod platform {
    use std::sync::LazyLock;

    use log::Level;
    use oslog::OsLog;

    static UNIFIED: LazyLock<OsLog> = LazyLock::new(|| OsLog::new("dev.sipwake", "sipwake"));

    pub(super) fn write(level: Level, target: &str, text: &str) {
        UNIFIED.with_level(level.into(), &format!("{target}: {text}"));
    }
}

#[cfg(not(any(target_os = "android", all(target_vendor = "apple", feature = "oslog"))))]
mod platform {
    use std::io::Write;

    use log::Level;

    pub(super) fn write(level: Level, target: &str, text: &str) {
        // If standard error is closed, there is nobody to tell.
        let _ = writeln!(std::io::stderr().lock(), "{level} {target}: {text}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::*;

    /// Waits for a permit, then passes the line on.
    struct Slow {
        lines: Sender<LogRecord>,
        permits: Mutex<Receiver<()>>,
    }

    impl LogListener for Slow {
        fn on_log(&self, record: LogRecord) -> Result<(), CallbackError> {
            let _ = self.permits.lock().expect("not poisoned").recv();
            self.lines.send(record).map_err(|_| CallbackError::Failed { reason: "nobody reads".into() })
        }
    }

    #[test]
    fn a_slow_listener_loses_lines_and_learns_how_many() {
        let ((lines, shown), (permit, permits)) = (channel(), channel());
        let app = AppLog::start(Box::new(Slow { lines, permits: Mutex::new(permits) })).expect("a thread");
        let many = MAX_WAITING + 100;
        for number in 0..many {
            app.offer(LogLevel::Info, "sipwake", &number.to_string());
        }
        drop(permit);
        let next = || shown.recv_timeout(Duration::from_secs(120)).expect("a line is told");
        let mut told: Vec<LogRecord> = (0..MAX_WAITING).map(|_| next()).collect();
        // There is room again, so this is told. Before it may come one that was already on its way to the listener.
        app.offer(LogLevel::Info, "sipwake", "after");
        while told.last().is_none_or(|line| line.text != "after") {
            told.push(next());
        }
        assert!((MAX_WAITING + 1..=MAX_WAITING + 2).contains(&told.len()), "{}", told.len());
        let dropped: u64 = told.iter().map(|line| line.dropped_before).sum();
        assert_eq!(told.len() as u64 + dropped, many as u64 + 1, "each line is reported or counted");
    }

    #[test]
    fn a_secret_in_a_log_line_is_removed() {
        let text = redacted(b"sent <sip:a@b;pn-prid=0123456789abcdefSECRET>");
        assert!(!text.contains("0123456789"), "{text}");
    }
}
