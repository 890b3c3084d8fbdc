//! One stage of a generation as people see it: a bar with tokens per second and time left on a terminal, plain lines
//! otherwise (at the end, and now and then in between), and an event for log.jsonl in both cases.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::log;

/// Without a terminal, a stage that takes longer than this says how far it is.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// Steps of a bar: more than any terminal shows.
const BAR: u64 = 10_000;

pub struct Stage {
    name: &'static str,
    generation: Option<u32>,
    bar: Option<ProgressBar>,
    unit: &'static str,
    total: u64,
    done: u64,
    tokens: u64,
    started: Instant,
    last_line: Instant,
}

impl Stage {
    /// A stage of `total` units ("steps", "texts").
    pub fn start(generation: Option<u32>, name: &'static str, total: usize, unit: &'static str) -> Self {
        let bar = log::is_terminal().then(|| {
            let bar = log::BARS.add(ProgressBar::new(BAR));
            // a wrong template would only cost the bar's looks
            if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}, {eta} left") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(match generation {
                Some(generation) => format!("generation {generation:>3}  {name:<10}"),
                None => format!("{name:<10}"),
            });
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        Self { name, generation, bar, unit, total: total as u64, done: 0, tokens: 0, started: now, last_line: now }
    }

    /// `done` units are finished in all, and `tokens` more tokens were processed.
    pub fn update(&mut self, done: usize, tokens: usize) {
        self.update_share(done, done as f64 / self.total.max(1) as f64, tokens);
    }

    /// The same where finished units say little, because all of them end together: `share` of the work is done.
    pub fn update_share(&mut self, done: usize, share: f64, tokens: usize) {
        self.done = done as u64;
        self.tokens += tokens as u64;
        if let Some(bar) = &self.bar {
            bar.set_position((share * BAR as f64) as u64);
            bar.set_message(format!("{}/{} {}{}", self.done, self.total, self.unit, self.rate()));
        } else if self.last_line.elapsed() > LINE_EVERY && self.done < self.total {
            self.last_line = Instant::now();
            let left = if share > 0.0 { self.started.elapsed().mul_f64((1.0 - share) / share) } else { Duration::ZERO };
            tracing::info!(
                target: log::STAGE,
                "{}{}: {} of {} {}{}, about {} left",
                self.of_generation(),
                self.name,
                self.done,
                self.total,
                self.unit,
                self.rate(),
                seconds(left.as_secs_f64()),
            );
        }
    }

    /// Seconds since it began.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Ends the stage and returns its duration in seconds.
    pub fn finish(self) -> f64 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let taken = self.started.elapsed().as_secs_f64();
        tracing::info!(
            target: log::STAGE,
            generation = self.generation,
            stage = self.name,
            seconds = taken,
            tokens = self.tokens,
            "{}{}: {} {} in {}{}",
            self.of_generation(),
            self.name,
            self.done,
            self.unit,
            seconds(taken),
            self.rate(),
        );
        taken
    }

    /// ", N tokens/s", or nothing where tokens are not counted.
    fn rate(&self) -> String {
        if self.tokens == 0 {
            return String::new();
        }
        format!(", {:.0} tokens/s", self.tokens as f64 / self.started.elapsed().as_secs_f64().max(1e-9))
    }

    fn of_generation(&self) -> String {
        self.generation.map_or(String::new(), |generation| format!("generation {generation}: "))
    }
}

/// A duration for people.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
