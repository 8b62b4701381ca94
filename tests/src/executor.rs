//! Runs futures on the thread of the simulator, or of a stage: those that were woken,
//! in the order in which they were woken.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;

/// A future that ends with nothing.
pub type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks, and which of them are ready.
#[derive(Default)]
pub struct Executor {
    tasks: BTreeMap<u64, (Task, Arc<Ready>)>,
    last: u64,
    queue: Arc<Mutex<VecDeque<u64>>>,
}

/// Puts its task into the queue, once.
struct Ready {
    task: u64,
    queued: AtomicBool,
    queue: Arc<Mutex<VecDeque<u64>>>,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.queue.lock().push_back(self.task);
        }
    }
}

impl Executor {
    /// Adds a task, which is ready at once.
    pub fn spawn(&mut self, task: Task) {
        self.last += 1;
        let queue = Arc::clone(&self.queue);
        let ready = Arc::new(Ready { task: self.last, queued: AtomicBool::new(false), queue });
        Arc::clone(&ready).wake();
        self.tasks.insert(self.last, (task, ready));
    }

    /// Polls until no task is ready. Returns whether any was.
    pub fn run(&mut self) -> bool {
        let mut any = false;
        loop {
            let Some(next) = self.queue.lock().pop_front() else { return any };
            any = true;
            let Some((mut task, ready)) = self.tasks.remove(&next) else { continue };
            ready.queued.store(false, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&ready));
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.tasks.insert(next, (task, ready));
            }
        }
    }

    /// How many tasks have not ended.
    pub fn unfinished(&self) -> usize {
        self.tasks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_run_in_the_order_in_which_they_were_woken() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut executor = Executor::default();
        let (first, second) = (tokio::sync::oneshot::channel(), tokio::sync::oneshot::channel());
        for (name, receiver) in [("first", first.1), ("second", second.1)] {
            let order = Arc::clone(&order);
            executor.spawn(Box::pin(async move {
                order.lock().push(name);
                let _: Result<(), _> = receiver.await;
                order.lock().push(name);
            }));
        }
        assert!(executor.run());
        assert!(!executor.run());
        second.0.send(()).unwrap();
        first.0.send(()).unwrap();
        assert!(executor.run());
        assert_eq!(executor.unfinished(), 0);
        assert_eq!(*order.lock(), ["first", "second", "second", "first"]);
    }
}
