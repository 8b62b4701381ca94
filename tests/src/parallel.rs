//! Many independent things at once, shown one after another.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

/// Does the work of each number on so many threads, and shows what came of it in the order of
/// the numbers, as soon as all before are shown.
pub fn in_order<T: Send>(
    numbers: Range<u64>,
    threads: usize,
    work: impl Fn(u64) -> T + Sync,
    mut show: impl FnMut(u64, T),
) {
    let next = AtomicU64::new(numbers.start);
    let (done, results) = channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (done, next, work, end) = (done.clone(), &next, &work, numbers.end);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end || done.send((number, work(number))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let (mut waiting, mut shown) = (BTreeMap::new(), numbers.start);
        for (number, result) in results {
            waiting.insert(number, result);
            while let Some(result) = waiting.remove(&shown) {
                show(shown, result);
                shown += 1;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::in_order;

    #[test]
    fn what_is_done_first_is_shown_in_its_turn() {
        let mut shown = Vec::new();
        let slow = |number: u64| (0..(100 - number) * 1_000).fold(number, |a, b| a ^ b ^ (b >> 1));
        in_order(
            3..100,
            4,
            |number| (number, slow(number)),
            |number, (done, _)| {
                assert_eq!(number, done);
                shown.push(number);
            },
        );
        assert_eq!(shown, (3..100).collect::<Vec<_>>());
        in_order(5..5, 2, |number| number, |_, _| panic!("there is nothing"));
    }
}
