//! The routes that a registrar sends: `Service-Route` (RFC 3608) and `Path` (RFC 3327).

use crate::support::Stage;

#[test]
fn the_service_route_of_the_last_200_is_reported() {
    let mut stage = Stage::rfc8599();
    stage.registered_with(&[
        "Service-Route: <sip:p1.example.com;lr>,\t<sip:p2.example.com;lr>;x=\"a,b\"",
        "Service-Route: <sip:home.example.com;lr>",
    ]);
    let route = ["<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>;x=\"a,b\"", "<sip:home.example.com;lr>"];
    assert_eq!(stage.last().service_route, route);
    assert_eq!(stage.agent.service_route(&stage.key).expect("the account is there"), route);

    let request = stage.register();
    assert_eq!(request.header("Supported"), Some("path"), "RFC 3327 section 5.1");
    assert_eq!(request.header("Route"), None, "RFC 3608 section 5: a REGISTER does not use it");
    stage.ok(&request, &["Path: <sip:edge.example.com;lr>"]);
    assert!(stage.last().service_route.is_empty(), "RFC 3608 section 6.1: a 200 without it removes it");

    for broken in ["<sip:p1.example.com;lr>, nobody", "<tel:+1;lr>", "sip:p1.example.com", "<sip:p1.example.com"] {
        let request = stage.register();
        stage.ok(&request, &[&format!("Service-Route: {broken}")]);
        assert!(stage.last().service_route.is_empty(), "{broken}");
    }
    for (hops, taken) in [(8, 8), (9, 0)] {
        let request = stage.register();
        stage.ok(&request, &vec!["Service-Route: <sip:a.example.com;lr>"; hops]);
        assert_eq!(stage.last().service_route.len(), taken);
    }
}
