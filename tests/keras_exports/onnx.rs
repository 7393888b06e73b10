//! Protocol buffers by hand: ONNX as no converter writes it.

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(u8::try_from(number & 127).unwrap() | 128);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// A field that holds bytes.
pub fn field(number: usize, payload: &[u8]) -> Vec<u8> {
    [&*varint(number << 3 | 2), &*varint(payload.len()), payload].concat()
}

/// A field that holds a number.
pub fn number(field: usize, value: usize) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A node of a graph.
pub fn node(op: &str, input: &str, output: &str) -> Vec<u8> {
    let texts = [(1, input), (2, output), (4, op)];
    let fields = texts.map(|(number, text)| field(number, text.as_bytes()));
    field(1, &fields.concat())
}

fn value(name: &str, steps: usize) -> Vec<u8> {
    let rows = field(1, &field(2, b"N"));
    let steps = field(1, &number(1, steps));
    let tensor = [number(1, 1), field(2, &[rows, steps].concat())].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

/// A constant of rows of floats, all zeros, or of one number.
pub fn zeros(name: &str, rows: usize, columns: usize) -> Vec<u8> {
    let sizes = [number(1, rows), number(1, columns), number(2, 1)].concat();
    let raw = vec![0; 4 * rows * columns];
    field(
        5,
        &[sizes, field(8, name.as_bytes()), field(9, &raw)].concat(),
    )
}

/// The same for one whole number.
pub fn whole(name: &str, value: i64) -> Vec<u8> {
    let raw = value.to_le_bytes();
    let parts = [number(2, 7), field(8, name.as_bytes()), field(9, &raw)];
    field(5, &parts.concat())
}

/// `y` from the rows of `x` and a loop of so many rounds, whose body has these nodes from `v` to `w`, or none at all.
pub fn looping(rounds: i64, body: &[u8]) -> Vec<u8> {
    let typed = |name: &str, kind: usize, shape: &[u8]| {
        let tensor = field(1, &[&*number(1, kind), shape].concat());
        [field(1, name.as_bytes()), field(2, &tensor)].concat()
    };
    let scalar = field(2, b"");
    let ends = [
        field(11, &typed("round", 7, &scalar)),
        field(11, &typed("go", 9, &scalar)),
        field(11, &typed("v", 1, b"")),
        field(12, &typed("go", 9, &scalar)),
        field(12, &typed(if body.is_empty() { "v" } else { "w" }, 1, b"")),
    ];
    let body = [body, &field(2, b"body"), &ends.concat()].concat();
    let body = [field(1, b"body"), field(6, &body), number(20, 5)].concat();
    let texts = [(1, "rounds"), (1, ""), (1, "p"), (2, "q"), (4, "Loop")];
    let texts = texts.map(|(number, text)| field(number, text.as_bytes()));
    let lookup = [(1, "x"), (1, "k"), (2, "p"), (4, "MatMul")];
    let lookup = lookup.map(|(number, text)| field(number, text.as_bytes()));
    let nodes = [
        whole("rounds", rounds),
        zeros("k", 9, 1),
        field(1, &lookup.concat()),
        field(1, &[texts.concat(), field(5, &body)].concat()),
        node("Sigmoid", "q", "y"),
    ];
    model(&nodes.concat())
}

/// A graph from `x` of 9 floats to `y` of one.
pub fn model(nodes: &[u8]) -> Vec<u8> {
    let ends = [field(11, &value("x", 9)), field(12, &value("y", 1))].concat();
    let graph = [nodes, &ends].concat();
    [number(1, 8), field(7, &graph), field(8, &number(2, 17))].concat()
}
