//! Is each object linearizable?
