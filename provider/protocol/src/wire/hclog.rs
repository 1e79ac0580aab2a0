// SPDX-License-Identifier: MPL-2.0
//! The log in the form that plugin hosts parse: one JSON object a line on standard error. The host filters and
//! shows it under TF_LOG. Values of resources never go here.

use std::fmt;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// Hosts split longer lines and do not parse the pieces.
const LINE_MAX: usize = 60 << 10;
/// Longest text of one field or message, in bytes.
const TEXT_MAX: usize = 8 << 10;
/// Transport crates, whose finer lines are noise and could show what is being transported.
const TRANSPORT: [&str; 9] =
    ["h2", "hyper", "hyper_util", "mio", "rustls", "tokio", "tokio_util", "tonic", "tower"];

/// Sends `tracing` to standard error, at the level the environment asks for. Does nothing when the program has
/// a subscriber already.
pub(crate) fn install(lookup: impl Fn(&str) -> Option<String>, provider_name: &str, debug: bool) {
    let own = format!("TF_LOG_PROVIDER_{}", provider_name.to_uppercase().replace('-', "_"));
    let asked = [own.as_str(), "TF_LOG_PROVIDER", "TF_LOG"].into_iter().find_map(&lookup);
    let level = level(asked.as_deref(), debug);
    let _ = tracing::subscriber::set_global_default(Registry::default().with(Hclog { level }));
}

fn level(asked: Option<&str>, debug: bool) -> LevelFilter {
    match asked.map(str::to_uppercase).as_deref() {
        Some("OFF") => LevelFilter::OFF,
        Some("ERROR") => LevelFilter::ERROR,
        Some("WARN") => LevelFilter::WARN,
        Some("INFO") => LevelFilter::INFO,
        Some("DEBUG") => LevelFilter::DEBUG,
        // Terraform itself takes every other text, JSON included, as TRACE.
        Some(text) if !text.is_empty() => LevelFilter::TRACE,
        _ if debug => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    }
}

struct Hclog {
    level: LevelFilter,
}

/// The fields of a span or event.
#[derive(Default)]
struct Fields(Map<String, Json>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Json>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, cut(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, cut(&format!("{value:?}")));
    }
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let (kept, rest) = text.split_at(end);
    format!("{kept}… ({} bytes more)", rest.len())
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Hclog {
    fn enabled(&self, metadata: &Metadata<'_>, _ctx: Context<'_, S>) -> bool {
        let origin = metadata.target().split("::").next().unwrap_or_default();
        let limit = if TRANSPORT.contains(&origin) { self.level.min(LevelFilter::WARN) } else { self.level };
        // Spans carry the ids of the lines inside them.
        metadata.is_span() && !TRANSPORT.contains(&origin) || *metadata.level() <= limit
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in ctx.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(Fields(of_span)) = span.extensions().get::<Fields>() {
                fields.0.extend(of_span.clone());
            }
        }
        event.record(&mut fields);
        let line = render(event.metadata(), fields.0, SystemTime::now());
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn render(metadata: &Metadata<'_>, mut fields: Map<String, Json>, now: SystemTime) -> String {
    let message = fields.remove("message").unwrap_or_else(|| Json::from(""));
    fields.retain(|name, _| !name.starts_with('@'));
    let mut line = Map::new();
    line.insert("@level".to_owned(), Json::from(level_name(metadata.level())));
    line.insert("@message".to_owned(), message);
    line.insert("@timestamp".to_owned(), Json::from(timestamp(now)));
    line.insert("@module".to_owned(), Json::from(metadata.target().replace("::", ".")));
    let bare = line.clone();
    line.extend(fields);
    let full = Json::Object(line).to_string();
    let fitting = if full.len() < LINE_MAX { full } else { Json::Object(bare).to_string() };
    fitting + "\n"
}

fn level_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// `2026-11-21T08:05:09.000123Z`: exactly six fraction digits, or hosts take the whole line as plain text.
fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (since.as_secs(), since.subsec_micros());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Year, month and day of a count of days since 1970-01-01, by the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted in eras of 400 years that begin on 1 March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timestamps_have_six_fraction_digits() {
        let at = |seconds: u64, micros: u64| {
            timestamp(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros))
        };
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(951_782_400, 7), "2000-02-29T00:00:00.000007Z");
        assert_eq!(at(1_795_248_309, 123), "2026-11-21T08:05:09.000123Z");
        assert_eq!(at(4_107_542_399, 999_999), "2100-02-28T23:59:59.999999Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn the_environment_sets_the_level() {
        assert_eq!(level(None, false), LevelFilter::WARN);
        assert_eq!(level(None, true), LevelFilter::INFO);
        assert_eq!(level(Some("debug"), false), LevelFilter::DEBUG);
        assert_eq!(level(Some("JSON"), false), LevelFilter::TRACE);
        assert_eq!(level(Some("off"), false), LevelFilter::OFF);
        assert_eq!(level(Some(""), false), LevelFilter::WARN);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = cut(&"é".repeat(TEXT_MAX));
        assert!(text.len() < TEXT_MAX + 40 && text.ends_with("bytes more)"), "{}", text.len());
        assert_eq!(cut("short"), "short");
    }
}
