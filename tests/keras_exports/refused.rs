//! Files that have no place here, and damaged ones: a word that names the place, and the program goes on.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::time::Duration;

use sentiment::engine::session::Runtime;
use sentiment::import::{Imported, Request, Served, import};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{fixtures, onnx, request};

/// Imports a file of rows of 9 with two words; the error as it is shown.
fn outcome(file: &Path) -> Result<Imported, String> {
    outcome_within(request(9).limit, file)
}

fn outcome_within(limit: Duration, file: &Path) -> Result<Imported, String> {
    let room = tempfile::tempdir().unwrap();
    let tokenizer = room.path().join("words.json");
    fs::write(&tokenizer, "{\"a\": 1, \"b\": 2}").unwrap();
    let runtime = Runtime::load().unwrap();
    let request = Request {
        limit,
        ..request(9)
    };
    import(&runtime, (file, &tokenizer), &request).map_err(|error| error.to_string())
}

#[test]
fn keras_exports_with_layers_of_no_place_here_are_refused_by_position_and_name() {
    for (name, words) in [
        ("conv1d", "layers[1] \"conv1d\" (Conv1D) is not supported"),
        (
            "lstm_elu",
            "(LSTM) is not supported: its activation is \"elu\"",
        ),
        ("backwards_sequences", "layers[2] \"lstm"),
        ("dense_gelu", "its activation \"gelu\""),
        ("three_classes", "layers[2] \"dense"),
        ("three_classes", "it ends in 3 numbers"),
        ("masked_max", "layers[2] \"global_max_pooling1d"),
        (
            "text_vectorization",
            "layers[0] \"text_vectorization\" (TextVectorization) is not supported: this program has no such",
        ),
        ("batch_normalization", "layers[2] \"batch_normalization"),
        (
            "batch_normalization",
            "(BatchNormalization) is not supported",
        ),
        ("layer_normalization", "layers[1] \"layer_normalization"),
        (
            "masking",
            "layers[0] \"masking\" (Masking) is not supported",
        ),
        (
            "two_inputs",
            "layers[1] \"add\" (Add) is not supported: it reads",
        ),
        ("no_embedding", "layers[0] \"dense"),
        ("no_embedding", "is no Embedding"),
    ] {
        for version in ["keras2.h5", "keras3.keras"] {
            let mut file = fixtures("keras_refused").join(format!("{name}_{version}"));
            if !file.exists() {
                file.set_extension("keras");
            }
            let refused = outcome(&file).unwrap_err();
            assert!(
                refused.contains(words),
                "{name}: {refused:?} lacks {words:?}"
            );
        }
    }
}

#[test]
fn keras_exports_made_to_do_harm_are_refused_by_file_and_place() {
    for (name, words) in [
        (
            "loop.keras",
            "layers[1] \"lstm\": layers/lstm/cell/cell/cell/cell is deeper",
        ),
        (
            "huge.keras",
            "layers[0] \"embedding\": layers/embedding/vars/0: its shape [1, 17179869184] is of",
        ),
        (
            "deflated.keras",
            "layers/embedding/vars/0: its shape [4194304, 4] is of",
        ),
        (
            "wide.keras",
            "layers/embedding/vars/0: its shape [30, 4] is of 2048 MB",
        ),
        (
            "text.keras",
            "layers/embedding/vars/0: its values are no numbers",
        ),
        (
            "texts.keras",
            "layers/embedding/vars: its attributes are larger than a file of this length can hold",
        ),
    ] {
        let refused = outcome(&fixtures("keras_hostile").join(name)).unwrap_err();
        assert!(refused.contains(name), "{refused}");
        assert!(refused.contains(words), "{refused:?} lacks {words:?}");
    }
    let room = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = room.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut bomb = ZipWriter::new(Cursor::new(Vec::new()));
    bomb.start_file("config.json", SimpleFileOptions::default())
        .unwrap();
    for _ in 0..65 {
        bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = write("bomb.keras", &bomb.finish().unwrap().into_inner());
    let refused = outcome(&bomb).unwrap_err();
    assert!(refused.contains("bomb.keras: config.json in the archive: it unpacks to more"));

    // Graphs inside of graphs, in a field of attributes that nothing else reads.
    let mut deep = Vec::new();
    for _ in 0..5_000 {
        for number in [11, 5, 1] {
            deep = onnx::field(number, &deep);
        }
    }
    let deep = [onnx::node("Identity", "x", "y"), deep].concat();
    let refused = outcome(&write("deep.onnx", &onnx::model(&deep))).unwrap_err();
    assert!(refused.contains("over 16 deep"), "{refused}");
    let cycle = write(
        "cycle.onnx",
        &onnx::model(&onnx::node("Identity", "y", "y")),
    );
    assert!(outcome(&cycle).is_err());
    assert!(
        outcome(Path::new("/dev/zero"))
            .unwrap_err()
            .contains("it is no file")
    );
}

#[test]
fn keras_exports_whose_loops_have_no_end_are_given_up() {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("loop.onnx");
    let body = onnx::node("Sigmoid", "v", "w");
    fs::write(&file, onnx::looping(3, &body)).unwrap();
    let imported = outcome(&file).unwrap();
    assert!(matches!(imported.served, Served::AsItIs(_)));
    assert_eq!(imported.producer, "an unknown program");
    fs::write(&file, onnx::looping(1 << 60, &body)).unwrap();
    let refused = outcome_within(Duration::from_millis(100), &file).unwrap_err();
    assert!(
        refused.contains("was tried for 0.1 s and has not answered"),
        "{refused}"
    );
}

#[test]
fn keras_exports_that_read_one_array_often_hold_it_once() {
    // 2 MB, and 20,000 values that are the same: 40 GB as copies.
    let numbers = 1 << 19;
    let constant = [
        onnx::number(1, numbers),
        onnx::number(2, 1),
        onnx::field(8, b"c"),
        onnx::field(9, &vec![0; 4 * numbers]),
    ];
    let mut graph = onnx::field(5, &constant.concat());
    for at in 0..20_000 {
        graph.extend(onnx::node("Identity", "c", &format!("c{at}")));
    }
    graph.extend(onnx::zeros("w", 9, 1));
    let product: Vec<Vec<u8>> = [(1, "x"), (1, "w"), (2, "y"), (4, "MatMul")]
        .map(|(number, text)| onnx::field(number, text.as_bytes()))
        .into();
    graph.extend(onnx::field(1, &product.concat()));
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("copies.onnx");
    fs::write(&path, onnx::model(&graph)).unwrap();
    let imported = outcome(&path).unwrap();
    assert!(matches!(imported.served, Served::AsItIs(_)));
}

#[test]
fn keras_exports_with_a_table_of_one_row_are_imported_without_a_panic() {
    let room = tempfile::tempdir().unwrap();
    let tokenizer = room.path().join("words.json");
    fs::write(&tokenizer, "{\"a\": 0}").unwrap();
    let runtime = Runtime::load().unwrap();
    let file = fixtures("keras_hostile").join("one_row.keras");
    let imported = import(&runtime, (&file, &tokenizer), &request(9)).unwrap();
    assert_eq!(imported.draft.rows, 1);
}

#[test]
fn keras_exports_with_ids_beyond_all_numbers_are_refused() {
    let room = tempfile::tempdir().unwrap();
    let tokenizer = room.path().join("words.json");
    fs::write(&tokenizer, format!("{{\"a\": {}}}", i64::MAX)).unwrap();
    let runtime = Runtime::load().unwrap();
    let file = fixtures("keras_small/flatten_keras2/model.h5");
    let mut request = request(9);
    for index_from in [None, Some(3), Some(i64::MAX)] {
        request.vocabulary.index_from = index_from;
        let refused = import(&runtime, (&file, &tokenizer), &request).map(|_| ());
        match index_from {
            // Ranks beyond the table are unknown words.
            Some(_) => refused.unwrap(),
            None => {
                let refused = refused.unwrap_err().to_string();
                assert!(refused.contains("9223372036854775807"), "{refused}");
            }
        }
    }
    fs::write(&tokenizer, "{\"a\": 1}").unwrap();
    request.vocabulary.index_from = None;
    request.vocabulary.oov = Some("<OOO>".to_owned());
    let refused = import(&runtime, (&file, &tokenizer), &request);
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("it has no \"<OOO>\", which --oov names"),
        "{refused}"
    );
}

#[test]
fn keras_exports_that_are_damaged_never_end_the_program() {
    let room = tempfile::tempdir().unwrap();
    let (mut cut, mut changed, mut refused) = (0, 0, 0);
    for model in ["flatten_keras2", "without_biases_keras3"] {
        for file in ["model.h5", "model.keras", "model.onnx"] {
            let whole = fs::read(fixtures("keras_small").join(model).join(file)).unwrap();
            let damaged = room.path().join(file);
            for at in 0..20 {
                fs::write(&damaged, &whole[..whole.len() * at / 20]).unwrap();
                let said = outcome(&damaged).unwrap_err();
                assert!(!said.is_empty());
                cut += 1;
            }
            // Early bytes say how the file is made. Set to all ones, a size or an address becomes the largest there is; a link
            // that is copied over another leads elsewhere.
            let head = whole.len().min(6_000);
            for at in 0..60 {
                let mut bytes = whole.clone();
                let place = at * 997 % (head - 8);
                match at % 3 {
                    0 => bytes[place] ^= 0x55,
                    1 => bytes[place / 8 * 8..][..8].fill(0xff),
                    _ => {
                        let from = at * 613 % (head - 8) / 8 * 8;
                        bytes.copy_within(from..from + 8, place / 8 * 8);
                    }
                }
                fs::write(&damaged, bytes).unwrap();
                changed += 1;
                refused += usize::from(outcome(&damaged).is_err());
            }
        }
    }
    assert_eq!((cut, changed), (120, 360));
    // Many bytes say nothing that is read here.
    assert!(refused > 60, "{refused}");
}
