//! Graphs as text: what is printed parses back, and no text makes the parser panic.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ttk_ir::testing::{GraphOptions, Rng, Values, input_types, random_graph, random_inputs};
use ttk_ir::text::{ParseErrorKind, PrintOptions, parse, print, print_with};
use ttk_ir::{DType, Graph, eval};

fn options(nodes: usize) -> GraphOptions {
    GraphOptions { nodes, ..GraphOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn printed_graphs_parse_back(seed: u64, nodes in 0usize..40) {
        let graph = random_graph(seed, &options(nodes));
        let text = print(&graph);
        let parsed = parse(&text);
        prop_assert_eq!(parsed.as_ref(), Ok(&graph), "{}", text);
        prop_assert_eq!(print(&parsed.unwrap()), text);
    }

    #[test]
    fn random_graphs_evaluate(seed: u64, nodes in 0usize..20, n in 1i64..5, m in 1i64..5) {
        let graph = random_graph(seed, &GraphOptions { effects: false, ..options(nodes) });
        let symbols = &[n, m][..graph.symbols.len()];
        let inputs = random_inputs(&input_types(&graph), symbols, seed, Values::Wild);
        let outputs = eval::eval(&graph, &inputs, symbols);
        prop_assert!(outputs.is_ok(), "{:?}\n{}", outputs, graph);
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, rng_seed: RngSeed::Fixed(2), ..ProptestConfig::default() })]

    #[test]
    fn mutated_text_is_an_error_or_a_graph(seed: u64, nodes in 0usize..12, edits in 1usize..6) {
        let mut text = print(&random_graph(seed, &options(nodes))).into_bytes();
        let mut rng = Rng::new(seed);
        for _ in 0..edits {
            mutate(&mut text, &mut rng);
        }
        if let Ok(graph) = parse(&String::from_utf8_lossy(&text)) {
            prop_assert_eq!(parse(&print(&graph)), Ok(graph));
        }
    }

    #[test]
    fn any_text_at_all(text in "\\PC{0,200}") {
        let _ = parse(&text);
        let _ = parse(&format!("graph @f(%x: f32[{text}]) -> (f32[]) {{ return %x }}"));
    }
}

/// One change that often leaves something almost right.
fn mutate(text: &mut Vec<u8>, rng: &mut Rng) {
    const PIECES: [&[u8]; 16] = [
        b"9223372036854775807",
        b"-",
        b"*",
        b"floordiv(",
        b"mod(n0, 0)",
        b"[",
        b"]",
        b"%0",
        b"\xff",
        b"\"",
        b"n0*n0*n0",
        b"f64[",
        b"{",
        b"281474976710656",
        b", ",
        b"0x",
    ];
    let at = rng.below(text.len() + 1);
    match rng.below(4) {
        0 if at < text.len() => {
            text.remove(at);
        }
        1 if at < text.len() => text[at] = (32 + rng.below(95)) as u8,
        2 => {
            let end = (at + rng.below(30)).min(text.len());
            let copy: Vec<u8> = text[at..end].to_vec();
            text.splice(at..at, copy);
        }
        _ => {
            let piece = *rng.choose(&PIECES);
            text.splice(at..at, piece.iter().copied());
        }
    }
}

#[test]
fn a_listing() {
    let text = r#"
; A comment before the graph.
graph @mlp.forward[n, m](%x: f32[n,8], %w: f32[8,2*m+1]) -> (f32[n,1], bool[]) {
  %h = dot %x, %w {contract=[1:0]} : f32[n,2*m+1] ; model.py:12
  %top = reduce %h {axes=[1], op=max} : f32[n,1]
  %half = slice %top {start=[n-1, 0], step=[-1, 1]} : f32[n,1] ; a note
  %c = const {value=true} : bool[]
  %e = custom %c {name="say \"hi\"", attributes=[-3]} : f16[floordiv(n+1, 2),3]
  return %half, %c
}
"#;
    let want = r#"graph @mlp.forward[n, m](%p0: f32[n,8], %p1: f32[8,2*m+1]) -> (f32[n,1], bool[]) {
  %0 = dot %p0, %p1 {contract=[1:0]} : f32[n,2*m+1]  ; model.py:12
  %1 = reduce %0 {axes=[1], op=max} : f32[n,1]
  %2 = slice %1 {start=[n-1,0], step=[-1,1]} : f32[n,1]
  %3 = const {value=true} : bool[]
  %4 = custom %3 {attributes=[-3], name="say \"hi\""} : f16[floordiv(n+1,2),3]
  return %2, %3
}
"#;
    let graph = parse(text).unwrap();
    assert_eq!(print(&graph), want);
    assert_eq!(parse(want).unwrap(), graph);
    let names = ["x".to_string(), "fc.weight".to_string()];
    let named = print_with(&graph, &PrintOptions { locs: false, params: &names });
    assert!(named.contains("%0 = dot %x, %fc.weight {contract=[1:0]} : f32[n,2*m+1]\n"), "{named}");
    assert_eq!(parse(&named).unwrap().nodes().len(), graph.nodes().len());
}

#[test]
fn strange_names_are_quoted() {
    let mut graph = Graph::new("a \"b\"\n");
    let x = graph.param(ttk_ir::Type::fixed(DType::F32, &[]));
    graph.outputs.push(x);
    assert_eq!(parse(&print(&graph)), Ok(graph));
}

#[test]
fn faults_have_a_place_and_a_reason() {
    let in_graph = |line: &str| {
        format!("graph @f[n](%x: f32[n,3], %i: i64[2]) -> (f32[n,3]) {{\n  {line}\n  return %x\n}}")
    };
    for (line, want) in [
        ("%0 = neg %y : f32[n,3]", "2:12: value %y is not defined"),
        ("%0 = neg %x : f32[n,4]", "2:17: the type is printed as f32[s0,4], but it is f32[s0,3]"),
        ("%0 = nag %x : f32[n,3]", "2:15: there is no operation \"nag\""),
        ("%x = neg %x : f32[n,3]", "2:3: value x is defined twice"),
        ("%0 = not %x : f32[n,3]", "2:8: not: element type f32 is outside the operation's domain"),
        ("%0 = neg %x {a=1} : f32[n,3]", "2:15: neg takes no attribute \"a\""),
        ("%0 = concat %x : f32[n,3]", "2:18: concat needs the attribute axis"),
        ("%0 = reshape %x : f32[n,floordiv(3,0)]", "2:27: the divisor of floordiv is not positive"),
        ("%0 = reshape %x : f32[n,k]", "2:27: there is no symbol \"k\""),
        ("%0 = const {value=1.5} : i64[2]", "2:14: 1.5 is not a value of type i64"),
        ("%0 = const {value=0} : f32[9223372036854775807]", "2:30: at most 281474976710656 as a size"),
        ("%0 = neg %x f32[n,3]", "2:15: expected :, found f32"),
        ("&", "2:3: expected a token, found '&'"),
    ] {
        let error = parse(&in_graph(line)).unwrap_err();
        assert_eq!(error.to_string(), want, "{line}");
    }
    let error = parse("graph @f() -> () { return ").unwrap_err();
    assert_eq!(error.to_string(), "1:27: expected }, found the end of the text");
}

#[test]
fn hostile_text_meets_limits() {
    let limit = |text: &str| match *parse(text).unwrap_err().kind {
        ParseErrorKind::Limit { what, .. } => what,
        other => panic!("{other}"),
    };
    let of_type = |ty: &str| format!("graph @f[n, m](%x: {ty}) -> () {{ return }}");
    assert_eq!(
        limit(&of_type(&format!("f32[{}1{}]", "(".repeat(100_000), ")".repeat(100_000)))),
        "levels of brackets"
    );
    assert_eq!(limit(&of_type(&format!("f32[{}]", vec!["1"; 65].join(",")))), "axes");
    assert_eq!(
        limit(&of_type(&format!("f32[{}]", vec!["(n+m+1)"; 64].join(",")))),
        "terms of a tensor's size"
    );
    assert_eq!(limit(&of_type(&format!("f32[{}]", vec!["(n+m+1)"; 64].join("*")))), "atoms in an expression");
    assert_eq!(limit(&of_type("f32[1000000000,1000000000]")), "elements");
    // A chain that nests one division more with each operation.
    let mut text = String::from("graph @f[n](%0: f32[n]) -> () {\n");
    let mut size = "n".to_string();
    for i in 0..60 {
        size = format!("floordiv({size}-1, 2)+1");
        let window = "{axes=[0], dilation=[1], size=[1], stride=[2]}";
        text += &format!("%{} = window %{i} {window} : f32[{size},1]\n", 2 * i + 1);
    }
    assert!(parse(&text).is_err());
}
