//! `load CASE JSON`: runs one case, prints one line of JSON: what was measured, or `{"error": …}` and status 1.

use std::{
    io::{self, BufReader, Write},
    process::ExitCode,
};

use load::{broadcast, echo, error::Failure, handshakes, idle, slow, video};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn main() -> io::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let (Some(case), Some(options), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: load echo|handshakes|broadcast|slow|idle|video JSON");
        return Ok(ExitCode::from(2));
    };
    let outcome = match &*case {
        "echo" => run(&options, |options| echo::run(&options)),
        "handshakes" => run(&options, |options| handshakes::run(&options)),
        "broadcast" => run(&options, |options| broadcast::run(&options)),
        "slow" => run(&options, |options| slow::run(&options)),
        "idle" => run(&options, |options| idle::run(&options, BufReader::new(io::stdin()), io::stdout())),
        "video" => run(&options, |options| video::run(&options, io::stdout())),
        _ => Err(format!("no case is named {case}")),
    };
    let (value, status) = match outcome {
        Ok(value) => (value, ExitCode::SUCCESS),
        Err(error) => (json!({ "error": error }), ExitCode::FAILURE),
    };
    writeln!(io::stdout(), "{value}")?;
    Ok(status)
}

fn run<O: DeserializeOwned, R: Serialize>(
    options: &str,
    case: impl FnOnce(O) -> Result<R, Failure>,
) -> Result<Value, String> {
    let options = serde_json::from_str(options).map_err(|error| format!("the options: {error}"))?;
    let report = case(options).map_err(|failure| failure.to_string())?;
    Ok(json!(report))
}
