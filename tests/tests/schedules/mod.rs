//! What is to be shown of every explorer.

use synod_tests::explore::{Schedule, explore, trace};

/// Of the schedules below this seed none violates anything, and together they reach all.
pub fn reach_all<S: Schedule>(below: u64) {
    let explored = explore::<S>(0..below, None, 2);
    assert_eq!((explored.schedules, explored.violations), (below, vec![]));
    for (what, count) in explored.reached {
        assert!(count > 0, "{what}: never reached");
    }
}

/// The same seed, the same events.
pub fn repeat<S: Schedule>() {
    for seed in 0..50 {
        let (lines, result) = trace::<S>(seed, None);
        assert_eq!((lines.is_empty(), &result), (false, &Ok(())));
        assert_eq!(trace::<S>(seed, None), (lines, result));
    }
    assert_ne!(trace::<S>(1, None).0, trace::<S>(2, None).0);
}

/// Some of the first schedules show the bug, and do so again.
pub fn show<S: Schedule>(bug: S::Bug) {
    let explored = explore::<S>(0..1_000, Some(bug), 1);
    let Some((seed, violation)) = explored.violations.first() else {
        panic!("{bug:?} does not show");
    };
    assert_eq!(trace::<S>(*seed, Some(bug)).1.as_ref(), Err(violation));
}
