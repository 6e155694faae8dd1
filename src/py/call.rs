//! Python code called from Rust.
//!
//! Before CPython 3.14 a thread that asks for the GIL while the interpreter finalizes is ended by `pthread_exit`, which
//! unwinds its stack. Python code asks for the GIL all the time, so a daemon thread may be ended in the middle of a view.
//! Were the unwinding to reach the `catch_unwind` under which pyo3 runs every function of this crate, the process would
//! abort. Hence the functions here: the innermost frame of Rust on such a stack holds a value whose destructor parks the
//! thread for ever, which is what CPython does from 3.14 on.
//!
//! Whatever may run code of the application is called through this module and not through pyo3's own methods.

#![allow(unsafe_code, reason = "pyo3 declares these functions as never unwinding")]

use std::{hint::black_box, mem::transmute, ptr::null_mut};

use pyo3::{
    exceptions::PyAttributeError,
    ffi::{self, PyObject},
    prelude::*,
    types::{PyDict, PyString, PyTuple},
};

use super::runtime;

/// A function of CPython with one, two or three arguments, as pyo3 declares it.
type One<T> = unsafe extern "C" fn(*mut PyObject) -> T;
type Two = unsafe extern "C" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;
type Three = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

/// The same as what it is: a function that may be unwound.
type UnwindingOne<T> = unsafe extern "C-unwind" fn(*mut PyObject) -> T;
type UnwindingTwo = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;
type UnwindingThree =
    unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

/// Parks the thread that drops it.
struct ParkInsteadOfUnwinding;

impl Drop for ParkInsteadOfUnwinding {
    fn drop(&mut self) {
        runtime::park();
    }
}

/// Runs what calls one function of CPython. Forgets the guard on the way that does not unwind.
#[inline]
fn guarded<T>(call: impl FnOnce() -> T) -> T {
    let guard = ParkInsteadOfUnwinding;
    let value = call();
    std::mem::forget(guard);
    value
}

// The functions are called through a pointer behind `black_box`: where LLVM recognises a function that pyo3 declares as
// never unwinding, it leaves the guard's destructor out of the code.

/// # Safety
/// Attached, and the argument is what the function takes.
unsafe fn one<T>(function: One<T>, argument: *mut PyObject) -> T {
    // SAFETY: the two ABIs differ only in whether the callee may unwind; the rest is the caller's.
    unsafe {
        let function = transmute::<One<T>, UnwindingOne<T>>(black_box(function));
        guarded(|| function(argument))
    }
}

/// # Safety
/// Attached, and the arguments are what the function takes.
unsafe fn two(function: Two, first: *mut PyObject, second: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `one`.
    unsafe {
        let function = transmute::<Two, UnwindingTwo>(black_box(function));
        guarded(|| function(first, second))
    }
}

/// # Safety
/// Attached, and the arguments are what the function takes.
unsafe fn three(
    function: Three,
    first: *mut PyObject,
    second: *mut PyObject,
    third: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as in `one`.
    unsafe {
        let function = transmute::<Three, UnwindingThree>(black_box(function));
        guarded(|| function(first, second, third))
    }
}

/// `callable(*arguments, **keywords)`.
///
/// # Errors
/// What it raises.
pub(super) fn call<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = keywords.map_or(null_mut(), Bound::as_ptr);
    // SAFETY: attached; the three are alive for the call, and a null pointer stands for no keywords. The result is a new
    // reference, or null with the exception set.
    unsafe {
        let result = three(ffi::PyObject_Call, callable.as_ptr(), arguments.as_ptr(), keywords);
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}

/// `object.name`, None when it has no such attribute.
///
/// # Errors
/// What looking it up raises, but for `AttributeError`.
pub(super) fn attribute<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    // SAFETY: attached; both are alive for the call. The result is a new reference, or null with the exception set.
    let result = unsafe {
        let result = two(ffi::PyObject_GetAttr, object.as_ptr(), name.as_ptr());
        Bound::from_owned_ptr_or_err(py, result)
    };
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyAttributeError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `object.name(*arguments)`, None when it has no such attribute.
///
/// # Errors
/// What it raises.
pub(super) fn method<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    attribute(object, name)?.map(|method| call(&method, arguments, None)).transpose()
}

/// `iter(object)`.
///
/// # Errors
/// What it raises.
pub(super) fn iterator<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached; the object is alive for the call. The result is a new reference, or null with the exception set.
    unsafe {
        let result = one(ffi::PyObject_GetIter, object.as_ptr());
        Bound::from_owned_ptr_or_err(object.py(), result)
    }
}

/// `next(iterator)` of what [`iterator`] gave, None at its end.
///
/// # Errors
/// What it raises.
pub(super) fn next<'py>(iterator: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = iterator.py();
    // SAFETY: attached; `PyObject_GetIter` gave the iterator. The result is a new reference, or null with the exception
    // set, or null without one at the end.
    let item = unsafe {
        let item = one(ffi::PyIter_Next, iterator.as_ptr());
        Bound::from_owned_ptr_or_opt(py, item)
    };
    match item {
        Some(item) => Ok(Some(item)),
        None => PyErr::take(py).map_or(Ok(None), Err),
    }
}

/// Gives a reference up where that may run Python code (the end of a generator, `__del__`).
pub(super) fn release(object: Bound<'_, PyAny>) {
    let object = object.into_ptr();
    // SAFETY: attached, since it was bound; the reference was owned and is not used again.
    unsafe { one(ffi::Py_DecRef, object) }
}
