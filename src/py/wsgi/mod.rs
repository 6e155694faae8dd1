//! PEP 3333: an exchange as a call of a WSGI application.

mod environ;
mod file_wrapper;
mod head;
mod input;
mod response;
mod run;

pub(super) use self::{environ::Template, file_wrapper::FileWrapper, run::Service};
