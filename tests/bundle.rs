//! Bundles on disk: what is written loads again, what is damaged does not, and versions are given out once.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sentiment::bundle::{
    Bundle, BundleError, Draft, FILES, GoldenRow, MANIFEST, Metrics, TrainingRecord, Trim, Version,
    digest, folder, write,
};
use sentiment::recipe::Recipe;
use sentiment::sentiment::Calibration;
use sentiment::text::{Encoder, Moment};

const RECIPE: &str = r#"
    name = "tiny"
    languages = ["en"]
    default_for = ["en"]
    card = "For tests."
    [data]
    [tokenizer]
    [padding]
    maxlen = 4
    [[layers]]
    kind = "embedding"
    units = 2
    [[layers]]
    kind = "flatten"
    [[layers]]
    kind = "dense"
    units = 1
    activation = "sigmoid"
    [fit]
"#;

/// A bundle to be; its graph is never run here.
fn draft() -> Draft {
    let recipe = Recipe::parse(RECIPE, "tests").unwrap();
    let encoder = Encoder::fit(recipe.encoder_spec(), ["good film", "bad film"]).unwrap();
    let golden = ["good film", "a bad film"].map(|text| {
        let mut ids = Vec::new();
        encoder.encode(text, Moment::Serve, &mut ids);
        GoldenRow {
            text: text.to_owned(),
            ids,
            logit: 0.1 + 0.2,
        }
    });
    Draft {
        recipe,
        seed: 7,
        trim: Trim::None,
        rows: encoder.rows(),
        layers: Vec::new(),
        training: TrainingRecord::default(),
        metrics: Metrics::default(),
        calibration: Calibration { temperature: 1.3 },
        onnx: b"graph".to_vec(),
        tokenizer: encoder.to_json(),
        history: "{}".to_owned(),
        curves: "<svg/>".to_owned(),
        golden: golden.to_vec(),
    }
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn entries(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The error's words, for a folder that must not load.
fn refusal(dir: &Path) -> String {
    let refused = Bundle::load(dir).unwrap_err();
    assert!(matches!(refused, BundleError::Refused { .. }), "{refused}");
    refused.to_string()
}

#[test]
fn what_was_written_loads_as_it_was() {
    let models = tempfile::tempdir().unwrap();
    let draft = draft();
    let written = write(models.path(), draft.clone()).unwrap();
    assert_eq!(written.dir, models.path().join("tiny/1"));
    let bundle = Bundle::load(&written.dir).unwrap();
    assert_eq!(bundle.manifest.name, "tiny");
    assert_eq!(bundle.manifest.version, written.version);
    assert_eq!(bundle.manifest.recipe, draft.recipe);
    assert_eq!(bundle.manifest.card.as_deref(), Some("For tests."));
    assert_eq!(bundle.manifest.calibration, draft.calibration);
    assert_eq!(bundle.manifest.rows, draft.rows);
    assert_eq!(bundle.onnx, draft.onnx);
    assert_eq!(bundle.golden, draft.golden);
    assert_eq!(bundle.encoder.to_json(), draft.tokenizer);
    let created = &bundle.manifest.created;
    assert!(
        created.len() == 20 && created.starts_with("20") && created.ends_with('Z'),
        "{created}"
    );
    let expected = FILES.iter().chain([&MANIFEST]).map(|f| (*f).to_owned());
    assert_eq!(entries(&written.dir), expected.collect());
}

#[test]
fn every_missing_or_damaged_file_is_named() {
    for file in FILES.into_iter().chain([MANIFEST]) {
        let models = tempfile::tempdir().unwrap();
        let path = write(models.path(), draft()).unwrap().dir;
        let target = path.join(file);
        let bytes = fs::read(&target).unwrap();

        for at in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 2] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            fs::write(&target, &flipped).unwrap();
            assert!(refusal(&path).contains(file), "{file}, a bit of byte {at}");
        }

        fs::write(&target, &bytes[..bytes.len() - 2]).unwrap();
        assert!(refusal(&path).contains(file), "{file}, cut");

        fs::remove_file(&target).unwrap();
        let refused = refusal(&path);
        assert!(
            refused.contains(file) && refused.contains("missing"),
            "{refused}"
        );

        fs::write(&target, bytes).unwrap();
        Bundle::load(&path).unwrap();
    }
}

/// A changed manifest with the digest that fits it again.
fn sealed(manifest: &str) -> String {
    let (head, rest) = manifest.split_once("\"digest\": \"").unwrap();
    let (_, tail) = rest.split_once('"').unwrap();
    let with = |digest: &str| format!("{head}\"digest\": \"{digest}\"{tail}");
    with(&digest::sha256(with("").as_bytes()))
}

#[test]
fn a_manifest_that_is_not_ours_or_contradicts_itself_is_refused() {
    let models = tempfile::tempdir().unwrap();
    let path = write(models.path(), draft()).unwrap().dir;
    let manifest = path.join(MANIFEST);
    let good = fs::read_to_string(&manifest).unwrap();
    for (from, to, words) in [
        ("\"format\": 1", "\"format\": 2", "format 2"),
        ("\"name\": \"tiny\"", "\"name\": \"other\"", "name"),
        ("\"maxlen\": 4", "\"maxlen\": 5", "maxlen"),
        (
            "\"temperature\": 1.3",
            "\"temperature\": -1.3",
            "temperature",
        ),
        ("\"version\": \"1\"", "\"version\": \"01\"", "not a version"),
        ("\"seed\": 7", "\"seeds\": 7", "seeds"),
        ("\"rows\": 4", "\"rows\": 3", "embedding rows"),
        ("\"golden.jsonl\"", "\"golden.json\"", "golden.jsonl"),
    ] {
        assert!(good.contains(from), "{from}");
        let changed = good.replacen(from, to, 1);
        fs::write(&manifest, &changed).unwrap();
        if from != "\"format\": 1" {
            assert!(refusal(&path).contains("damaged"));
        }
        fs::write(&manifest, sealed(&changed)).unwrap();
        let refused = refusal(&path);
        assert!(refused.contains(words), "{refused:?} lacks {words:?}");
    }
    fs::write(&manifest, "[]").unwrap();
    assert!(refusal(&path).contains("not a manifest"));
    assert!(refusal(models.path()).contains("missing"));
}

#[test]
fn a_draft_that_would_not_load_is_not_published_and_leaves_nothing() {
    let models = tempfile::tempdir().unwrap();
    let mut wrong_ids = draft();
    wrong_ids.golden[1].ids[0] += 1;
    let refused = write(models.path(), wrong_ids).unwrap_err().to_string();
    assert!(refused.contains("golden.jsonl: line 2"), "{refused}");
    let no_golden = Draft {
        golden: Vec::new(),
        ..draft()
    };
    assert!(write(models.path(), no_golden).is_err());
    let no_tokenizer = Draft {
        tokenizer: "{}".to_owned(),
        ..draft()
    };
    assert!(write(models.path(), no_tokenizer).is_err());
    assert_eq!(entries(&models.path().join("tiny")), BTreeSet::new());
    assert_eq!(folder::list(models.path()).unwrap(), []);
}

#[test]
fn the_first_version_serves_until_another_is_activated() {
    let models = tempfile::tempdir().unwrap();
    assert!(write(models.path(), draft()).unwrap().activated);
    assert!(!write(models.path(), draft()).unwrap().activated);
    let active = || folder::active(models.path(), "tiny").unwrap().unwrap();
    assert_eq!(active(), version("1"));
    folder::activate(models.path(), "tiny", version("2")).unwrap();
    assert_eq!(active(), version("2"));
    let refused = folder::activate(models.path(), "tiny", version("7")).unwrap_err();
    assert_eq!(refused.to_string(), "model \"tiny\" has no version 7");
    assert!(folder::activate(models.path(), "other", version("1")).is_err());
    assert_eq!(active(), version("2"));
    fs::write(models.path().join("tiny/ACTIVE"), "9\n").unwrap();
    let refused = folder::active(models.path(), "tiny")
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("ACTIVE") && refused.contains("version 9"),
        "{refused}"
    );
    fs::remove_file(models.path().join("tiny/ACTIVE")).unwrap();
    assert_eq!(folder::active(models.path(), "tiny").unwrap(), None);
}

#[test]
fn writers_side_by_side_get_versions_of_their_own() {
    let models = tempfile::tempdir().unwrap();
    let given: Vec<Version> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| [(); 5].map(|()| write(models.path(), draft()).unwrap().version))
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    let expected: BTreeSet<Version> = (1..=20).map(|n: u32| version(&n.to_string())).collect();
    assert_eq!(given.iter().copied().collect::<BTreeSet<_>>(), expected);
    for version in given {
        let path = models.path().join("tiny").join(version.to_string());
        assert_eq!(Bundle::load(&path).unwrap().manifest.version, version);
    }
}

#[test]
fn what_a_dead_writer_left_is_removed_and_what_a_living_one_writes_is_not() {
    let models = tempfile::tempdir().unwrap();
    let model = models.path().join("tiny");
    for name in ["1", ".writing-dead", ".writing-alive"] {
        fs::create_dir_all(model.join(name)).unwrap();
    }
    fs::write(model.join(".writing-dead/model.onnx"), "half").unwrap();
    let alive = fs::File::open(model.join(".writing-alive")).unwrap();
    alive.lock().unwrap();
    let written = write(models.path(), draft()).unwrap();
    assert_eq!(
        written.version,
        version("2"),
        "a folder that is there is never written to"
    );
    assert_eq!(
        entries(&model),
        ["1", "2", ".writing-alive", "ACTIVE"]
            .map(str::to_owned)
            .into()
    );
}

#[test]
fn only_folders_with_versions_are_models() {
    let models = tempfile::tempdir().unwrap();
    write(models.path(), draft()).unwrap();
    fs::create_dir_all(models.path().join("recipes")).unwrap();
    fs::write(models.path().join("recipes/course-imdb.toml"), "").unwrap();
    fs::create_dir_all(models.path().join("Capital/1")).unwrap();
    fs::create_dir_all(models.path().join("tiny/.writing-x")).unwrap();
    fs::create_dir_all(models.path().join("tiny/01")).unwrap();
    fs::write(models.path().join("README.md"), "").unwrap();
    let found = folder::list(models.path()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].name.as_str(), &found[0].versions[..]),
        ("tiny", &[version("1")][..])
    );
    let mut recipes = draft();
    recipes.recipe.name = "recipes".to_owned();
    assert!(matches!(
        write(models.path(), recipes),
        Err(BundleError::Name { .. })
    ));
    // Told before anything is trained.
    let named = RECIPE.replace("\"tiny\"", "\"recipes\"");
    let error = Recipe::parse(&named, "test").unwrap_err().to_string();
    assert!(error.contains("and not \"recipes\""), "{error}");
    assert!(folder::list(&models.path().join("nowhere")).is_err());
}

#[test]
fn a_bundle_in_another_ones_place_is_refused() {
    let models = tempfile::tempdir().unwrap();
    write(models.path(), draft()).unwrap();
    for (name, number) in [("tiny", "2"), ("other", "1")] {
        let copy = models.path().join(name).join(number);
        fs::create_dir_all(&copy).unwrap();
        for file in entries(&models.path().join("tiny/1")) {
            fs::copy(models.path().join("tiny/1").join(&file), copy.join(&file)).unwrap();
        }
        let refused = folder::open(models.path(), name, version(number)).unwrap_err();
        assert!(refused.to_string().contains("tiny@1"), "{refused}");
        Bundle::load(&copy).unwrap();
    }
    let bundle = folder::open(models.path(), "tiny", version("1")).unwrap();
    assert_eq!(bundle.manifest.name, "tiny");
}

#[test]
fn a_model_is_a_name_a_version_or_a_folder() {
    let models = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        write(models.path(), draft()).unwrap();
    }
    let resolve = |model: &str| folder::resolve(models.path(), model);
    let dir = |version| models.path().join("tiny").join(version);
    assert_eq!(resolve("tiny").unwrap(), dir("1"));
    assert_eq!(resolve("tiny@2").unwrap(), dir("2"));
    assert_eq!(resolve(dir("2").to_str().unwrap()).unwrap(), dir("2"));
    for (model, words) in [
        ("tiny@3", "has no version 3"),
        ("tiny@x", "give a name"),
        ("other", "no model \"other\""),
        ("../elsewhere", "give a name"),
    ] {
        let refused = resolve(model).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused:?} lacks {words:?}");
    }
    fs::remove_file(models.path().join("tiny/ACTIVE")).unwrap();
    assert!(matches!(resolve("tiny"), Err(BundleError::NoActive { .. })));
}
