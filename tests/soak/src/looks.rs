//! What the process holds, measured again and again, and whether it grew.

use std::fmt;

use tokio::runtime::Handle;

/// How much higher the mean of the last third may be than that of the middle third: (what, bound).
///
/// An allocator keeps pages that it once had; files, tasks and threads come and go with the connections of the moment.
const BOUNDS: [(&str, f64); 4] = [("KiB resident", 1024.0), ("descriptors", 2.0), ("tasks", 4.0), ("threads", 2.0)];

/// One look at our own process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Look {
    pub(crate) resident_kib: usize,
    pub(crate) descriptors: usize,
    pub(crate) tasks: usize,
    pub(crate) threads: usize,
}

impl Look {
    /// Looks at our own process, as Linux shows it, and at the tasks of the runtime.
    pub(crate) fn now(runtime: &Handle) -> Result<Self, String> {
        let count = |folder: &str| std::fs::read_dir(folder).map(Iterator::count);
        let read = || -> std::io::Result<Self> {
            let status = std::fs::read_to_string("/proc/self/status")?;
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
            Ok(Self {
                resident_kib: resident.and_then(|number| number.trim().parse().ok()).unwrap_or_default(),
                // The folder itself is open while its entries are counted.
                descriptors: count("/proc/self/fd")?.saturating_sub(1),
                tasks: runtime.metrics().num_alive_tasks(),
                threads: count("/proc/self/task")?,
            })
        };
        read().map_err(|error| format!("no /proc to look at: {error}"))
    }

    fn figures(self) -> [f64; 4] {
        [self.resident_kib, self.descriptors, self.tasks, self.threads].map(|figure| figure as f64)
    }
}

/// Means and extremes of a third of the time.
struct Third {
    mean: [f64; 4],
    most: [f64; 4],
}

impl Third {
    fn of(looks: &[Look]) -> Self {
        let (mut sum, mut most) = ([0.0; 4], [0.0_f64; 4]);
        for look in looks {
            for (place, figure) in look.figures().into_iter().enumerate() {
                sum[place] += figure;
                most[place] = most[place].max(figure);
            }
        }
        Self { mean: sum.map(|sum| sum / looks.len().max(1) as f64), most }
    }
}

/// All looks of a soak, as a table.
pub(crate) struct Table {
    thirds: [Third; 3],
}

impl Table {
    pub(crate) fn of(looks: &[Look]) -> Self {
        let third = looks.len() / 3;
        let (start, rest) = looks.split_at(third);
        let (middle, end) = rest.split_at(third);
        Self { thirds: [start, middle, end].map(Third::of) }
    }

    /// Says what grew by more than its bound from the middle third to the last.
    pub(crate) fn grown(&self) -> Vec<String> {
        let [_, middle, end] = &self.thirds;
        let mut grown = Vec::new();
        for (place, (what, bound)) in BOUNDS.into_iter().enumerate() {
            let more = end.mean[place] - middle.mean[place];
            if more > bound {
                grown.push(format!(
                    "{what}: {more:.1} more in the last third than in the middle one; {bound} are allowed"
                ));
            }
        }
        grown
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8}", "third")?;
        BOUNDS.iter().try_for_each(|(what, _)| write!(f, "{what:>22}"))?;
        for (name, third) in ["first", "middle", "last"].into_iter().zip(&self.thirds) {
            write!(f, "\n{name:8}")?;
            for (mean, most) in third.mean.iter().zip(third.most) {
                write!(f, "{:>22}", format!("{mean:.1} (most {most})"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: Look = Look { resident_kib: 20_000, descriptors: 20, tasks: 30, threads: 6 };

    type Change = fn(usize, &mut Look);

    fn looks(change: impl Fn(usize, &mut Look)) -> Vec<Look> {
        let look = |number| {
            let mut look = LEVEL;
            change(number, &mut look);
            look
        };
        (0..60).map(look).collect()
    }

    #[test]
    fn a_value_that_goes_up_and_down_has_not_grown() {
        let level = looks(|number, look| {
            look.resident_kib += number % 7 * 400;
            look.descriptors += number % 5;
            look.tasks += number % 11;
            // At first the pools fill up.
            if number < 20 {
                look.resident_kib -= 15_000;
            }
        });
        assert_eq!(Table::of(&level).grown(), [] as [String; 0]);
    }

    #[test]
    fn a_value_that_is_a_little_higher_at_each_look_has_grown() {
        let leaks: [(&str, Change); 4] = [
            ("KiB resident", |number, look| look.resident_kib += number * 60),
            ("descriptors", |number, look| look.descriptors += number / 8),
            ("tasks", |number, look| look.tasks += number / 4),
            ("threads", |number, look| look.threads += number / 8),
        ];
        for (what, leak) in leaks {
            let grown = Table::of(&looks(leak)).grown();
            assert_eq!(grown.len(), 1, "{grown:?}");
            assert!(grown[0].starts_with(what), "{grown:?}");
        }
    }

    #[tokio::test]
    async fn open_files_a_task_threads_and_megabytes_are_seen() {
        // More of each than other tests of this process can give back between the two looks.
        const MANY: usize = 32;
        let before = Look::now(&Handle::current()).expect("a look");
        let files = [(); MANY].map(|()| std::fs::File::open("/proc/self/status").expect("it is there"));
        let task = tokio::spawn(std::future::pending::<()>());
        let done = std::sync::Arc::new(std::sync::Barrier::new(MANY + 1));
        let threads = [(); MANY].map(|()| {
            let done = done.clone();
            std::thread::spawn(move || done.wait())
        });
        let memory = vec![1_u8; MANY << 20];
        let after = Look::now(&Handle::current()).expect("a look");
        assert!(after.descriptors > before.descriptors, "{before:?} {after:?}");
        assert_eq!(after.tasks, before.tasks + 1);
        assert!(after.threads > before.threads, "{before:?} {after:?}");
        assert!(after.resident_kib > before.resident_kib + 4096, "{before:?} {after:?}");
        drop((files, memory));
        task.abort();
        done.wait();
        for thread in threads {
            thread.join().expect("it waited");
        }
    }
}
