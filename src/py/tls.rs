//! `Tls`: what a server needs to speak TLS.

use pyo3::prelude::*;

use crate::server::{self, ClientAuthorities};

/// A certificate and its private key, checked.
#[pyclass(frozen, module = "dwebsocket._core")]
pub(super) struct Tls {
    pub(super) core: server::Tls,
}

#[pymethods]
impl Tls {
    #[new]
    #[pyo3(signature = (certificate, key, authorities=None, required=false))]
    fn new(certificate: &[u8], key: &[u8], authorities: Option<&[u8]>, required: bool) -> PyResult<Self> {
        let authorities = authorities.map(|certificates| ClientAuthorities { certificates, required });
        Ok(Self { core: server::Tls::new(certificate, key, authorities)? })
    }
}
