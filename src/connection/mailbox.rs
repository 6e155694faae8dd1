//! A bounded queue that can be closed.
// Generic: Mailbox<T>; used for inbox, outbox, and by the server for request and response bodies.
