//! Handshakes: requests in, answers out.

use dwebsocket::wire::{
    handshake::Handshake,
    offer::{Agreement, Terms},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::table::{Case, agreement};

fn request(case: &Case) -> (Method, Version, HeaderMap) {
    let mut lines = case.all(">");
    let mut words = lines.next().unwrap().split(' ');
    let method = words.next().unwrap().parse().unwrap();
    let version = match words.next_back().unwrap() {
        "HTTP/1.0" => Version::HTTP_10,
        "HTTP/1.1" => Version::HTTP_11,
        other => panic!("{other:?}"),
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
        headers.append(name.parse::<HeaderName>().unwrap(), value);
    }
    (method, version, headers)
}

fn terms(text: &str) -> Terms {
    let wanted = agreement(text);
    Terms {
        server_context_takeover: !wanted.server_no_context_takeover,
        client_context_takeover: !wanted.client_no_context_takeover,
        max_window_bits: wanted.server_window_bits(),
    }
}

/// Status and header fields of the answer; 200 stands for a request that is plain HTTP.
fn answer(case: &Case) -> (u16, HeaderMap) {
    let (method, version, headers) = request(case);
    match Handshake::parse(&method, version, &headers) {
        Ok(None) => (200, HeaderMap::new()),
        Ok(Some(handshake)) => {
            let terms = case.find("terms").map(terms);
            let agreement = terms.and_then(|terms| Agreement::reach(&handshake.extensions, terms));
            let head = handshake.response(case.find("subprotocol"), agreement).unwrap().into_parts().0;
            (head.status.as_u16(), head.headers)
        }
        Err(error) => {
            let fields = error.headers().iter();
            let fields = fields.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            (error.status().as_u16(), fields.collect())
        }
    }
}

fn fault(case: &Case) -> Option<String> {
    let (status, headers) = answer(case);
    if status.to_string() != case.get("status") {
        return Some(format!("status {status}"));
    }
    case.all("<").find_map(|line| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let got: Vec<_> = headers.get_all(name).into_iter().map(|value| value.to_str().unwrap()).collect();
        let expected = Some(value.trim()).filter(|value| !value.is_empty());
        (got != Vec::from_iter(expected)).then(|| format!("{name}: {got:?}"))
    })
}

#[test]
fn handshakes_are_answered_as_the_rfcs_demand() {
    let cases = Case::read("handshake.txt");
    assert!(cases.len() >= 50, "only {} cases", cases.len());
    let faults: Vec<_> = cases
        .iter()
        .filter_map(|case| fault(case).map(|fault| format!("{}: {fault}", case.title())))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
