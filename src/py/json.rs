//! Python values as JSON text.
//!
//! The rules are those of `json.dumps` with `ensure_ascii=False`, `allow_nan=False` and compact separators. What it does
//! not know goes through Django's `DjangoJSONEncoder`.

use std::cell::RefCell;

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType},
};
use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use super::call;

/// Levels of nesting; a value that contains itself has no end of them.
const MAX_DEPTH: usize = 256;

/// The method `default` of a `DjangoJSONEncoder`.
static DEFAULT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Appends `value` as UTF-8 JSON text.
///
/// # Errors
/// `ValueError`: a number that JSON has not, a lone surrogate, or a value that is nested too deep or contains itself.
/// `TypeError`: something that neither JSON nor `DjangoJSONEncoder` can say. What the encoder raises.
pub(super) fn encode(value: &Bound<'_, PyAny>, into: &mut Vec<u8>) -> PyResult<()> {
    let failure = RefCell::new(None);
    let node = Node { value, depth: 0, failure: &failure };
    serde_json::to_writer(into, &node)
        .map_err(|error| failure.take().unwrap_or_else(|| PyValueError::new_err(error.to_string())))
}

/// What `Connection.send` would send for `value`.
#[pyfunction]
pub(super) fn to_json<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let mut text = Vec::new();
    encode(value, &mut text)?;
    PyString::from_bytes(value.py(), &text)
}

/// A value on its way to serde. A Python exception cannot travel in serde's errors; it waits in `failure`.
struct Node<'a, 'py> {
    value: &'a Bound<'py, PyAny>,
    depth: usize,
    failure: &'a RefCell<Option<PyErr>>,
}

impl<'py> Node<'_, 'py> {
    fn fail<E: Error>(&self, error: PyErr) -> E {
        self.failure.replace(Some(error));
        E::custom("a Python exception")
    }

    fn child<'a>(&'a self, value: &'a Bound<'py, PyAny>) -> Node<'a, 'py> {
        Node { value, depth: self.depth + 1, failure: self.failure }
    }

    fn sequence<S: Serializer>(
        &self,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        for item in items {
            sequence.serialize_element(&self.child(&item))?;
        }
        sequence.end()
    }

    fn dict<S: Serializer>(&self, dict: &Bound<'py, PyDict>, serializer: S) -> Result<S::Ok, S::Error> {
        let items = items(dict).map_err(|error| self.fail(error))?;
        let mut map = serializer.serialize_map(None)?;
        for item in items {
            let (name, value) =
                item.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>().map_err(|error| self.fail(error))?;
            if let Ok(name) = name.cast::<PyString>() {
                map.serialize_key(name.to_str().map_err(|error| self.fail(error))?)?;
            } else {
                map.serialize_key(&key(&name).map_err(|error| self.fail(error))?)?;
            }
            map.serialize_value(&self.child(&value))?;
        }
        map.end()
    }
}

impl Serialize for Node<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.value;
        if let Ok(text) = value.cast::<PyString>() {
            return serializer.serialize_str(text.to_str().map_err(|error| self.fail(error))?);
        }
        if value.is_none() {
            return serializer.serialize_unit();
        }
        if let Ok(truth) = value.cast::<PyBool>() {
            return serializer.serialize_bool(truth.is_true());
        }
        if let Ok(number) = value.cast::<PyInt>() {
            return match number.extract::<i64>() {
                Ok(small) => serializer.serialize_i64(small),
                Err(_) => big_number(number).map_err(|error| self.fail(error))?.serialize(serializer),
            };
        }
        if let Ok(number) = value.cast::<PyFloat>() {
            return match finite(number) {
                Ok(number) => serializer.serialize_f64(number),
                Err(error) => Err(self.fail(error)),
            };
        }
        if self.depth == MAX_DEPTH {
            return Err(self.fail(PyValueError::new_err(format!(
                "nested more than {MAX_DEPTH} levels deep, or a value that contains itself"
            ))));
        }
        if let Ok(list) = value.cast::<PyList>() {
            return self.sequence(list.iter(), serializer);
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return self.sequence(tuple.iter(), serializer);
        }
        if let Ok(dict) = value.cast::<PyDict>() {
            return self.dict(dict, serializer);
        }
        let simpler = default(value).map_err(|error| self.fail(error))?;
        self.child(&simpler).serialize(serializer)
    }
}

/// The items of a dict, as they are at this moment: encoding a value may run Python code, and then another thread may
/// change the dict.
fn items<'py>(dict: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyList>> {
    if dict.is_exact_instance_of::<PyDict>() {
        return Ok(dict.items());
    }
    let py = dict.py();
    let items = call::method(dict, intern!(py, "items"), &PyTuple::empty(py))?;
    let items = items.ok_or_else(|| PyTypeError::new_err("a dict without items()"))?;
    let list = call::call(py.get_type::<PyList>().as_any(), &PyTuple::new(py, [items])?, None)?;
    Ok(list.cast_into::<PyList>()?)
}

/// The name of a member whose key is no str, as `json.dumps` spells it.
fn key(key: &Bound<'_, PyAny>) -> PyResult<String> {
    if key.is_none() {
        return Ok("null".to_owned());
    }
    if let Ok(truth) = key.cast::<PyBool>() {
        return Ok(if truth.is_true() { "true" } else { "false" }.to_owned());
    }
    if let Ok(number) = key.cast::<PyInt>() {
        return digits(number);
    }
    if let Ok(number) = key.cast::<PyFloat>() {
        finite(number)?;
        // Not Rust's spelling: a browser finds the member by the text of its name.
        return plain_text(&key.py().get_type::<PyFloat>(), number.as_any());
    }
    let name = key.get_type().name()?;
    Err(PyTypeError::new_err(format!("keys must be str, int, float, bool or None, not {name}")))
}

fn finite(number: &Bound<'_, PyFloat>) -> PyResult<f64> {
    let value = number.value();
    if value.is_finite() {
        Ok(value)
    } else {
        let name = value.to_string().to_lowercase();
        Err(PyValueError::new_err(format!("{name} is not a number of JSON")))
    }
}

fn big_number(number: &Bound<'_, PyInt>) -> PyResult<Box<RawValue>> {
    RawValue::from_string(digits(number)?).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The decimal digits of an int, also of one whose class prints itself otherwise (an `IntEnum`).
fn digits(number: &Bound<'_, PyInt>) -> PyResult<String> {
    plain_text(&number.py().get_type::<PyInt>(), number.as_any())
}

/// `class.__repr__(value)`, whatever the class of `value` makes of it. Runs no Python code: the class is a builtin one.
fn plain_text(class: &Bound<'_, PyType>, value: &Bound<'_, PyAny>) -> PyResult<String> {
    class.call_method1(intern!(value.py(), "__repr__"), (value,))?.extract()
}

fn default<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let default = DEFAULT.get_or_try_init(py, || -> PyResult<_> {
        let class = py.import("django.core.serializers.json")?.getattr("DjangoJSONEncoder")?;
        Ok(call::call(&class, &PyTuple::empty(py), None)?.getattr("default")?.unbind())
    })?;
    call::call(default.bind(py), &PyTuple::new(py, [value])?, None)
}
