//! What becomes of a job: a model, or a reason.

use std::fs;

use sentiment::bundle::Bundle;
use sentiment::sentiment::Label;
use sentiment::store::{JobState, NewFeedback};

use crate::{Shop, program};

const FAST: &str = "epochs = 2";

#[test]
fn a_job_becomes_a_version_that_is_registered_and_active() {
    let shop = Shop::new(FAST);
    let first = shop.ask(|_| {});
    let quiet = shop.ask(|job| job.activate = false);
    shop.work(&[]);
    for (id, version) in [(&first, "1"), (&quiet, "2")] {
        let job = shop.job(id);
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        assert_eq!(job.version.as_deref(), Some(version));
        assert_eq!(job.attempts, 0);
        let epochs = shop.threads.block_on(shop.store.epochs(id, 0)).unwrap();
        assert_eq!(epochs.len(), 2);
        let bundle = Bundle::load(&shop.room.path(&format!("models/shop/{version}"))).unwrap();
        assert_eq!(bundle.manifest.version.to_string(), version);
    }
    let active = shop.threads.block_on(shop.store.active()).unwrap();
    assert_eq!(active.len(), 1);
    assert_eq!(active[0].version, 1);
    assert!(
        !shop
            .room
            .path(&format!("data/checkpoints/{first}"))
            .exists()
    );
}

#[test]
fn what_cannot_be_learned_from_fails_at_once_with_file_row_and_column() {
    let shop = Shop::new(FAST);
    shop.room
        .write("data/worse.tsv", "5\tgreat box\nfive\tgreat day\n");
    shop.room.write("secret.tsv", "5\tgreat box\n");
    for (data, parts) in [
        ("worse.tsv", &["worse.tsv", "row 2", "column", "five"][..]),
        ("nowhere.tsv", &["nowhere.tsv"]),
        ("../secret.tsv", &["secret.tsv", "--data-dir"]),
    ] {
        let id = shop.ask(|job| job.data = vec![data.into()]);
        shop.work(&[]);
        let job = shop.job(&id);
        assert_eq!((job.state, job.attempts), (JobState::Failed, 1), "{job:?}");
        let error = job.error.unwrap();
        for part in parts {
            assert!(error.contains(part), "{part:?} in {error}");
        }
    }
    assert!(!shop.room.path("models/shop").exists());
}

#[test]
fn vectors_come_from_below_the_data_folder_and_from_nowhere_else() {
    let shop = Shop::new(FAST);
    let vectors = "great 1 2 3 4 5 6 7 8\nawful 8 7 6 5 4 3 2 1\n";
    let inside = shop.room.write("data/glove.txt", vectors);
    let outside = shop.room.write("secret.txt", vectors);
    std::os::unix::fs::symlink(&outside, shop.room.path("data/link.txt")).unwrap();
    let from = |file: &str| {
        let id = shop.ask(|job| job.recipe["layers"][0]["pretrained"] = file.into());
        shop.work(&[]);
        shop.job(&id)
    };
    let job = from("glove.txt");
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let bundle = Bundle::load(&shop.room.path("models/shop/1")).unwrap();
    assert_eq!(bundle.manifest.training.pretrained.unwrap().found, 2);
    for file in [
        "../secret.txt",
        "link.txt",
        outside.to_str().unwrap(),
        inside.to_str().unwrap(),
    ] {
        let job = from(file);
        assert_eq!(job.state, JobState::Failed, "{file}: {job:?}");
        let error = job.error.unwrap();
        assert!(
            error.contains("pretrained") && error.contains("--data-dir"),
            "{error}"
        );
    }
}

#[test]
fn a_version_that_is_worse_than_the_active_one_is_published_only_by_force() {
    let shop = Shop::new("epochs = 12");
    shop.ask(|_| {});
    shop.work(&[]);
    let hasty = |force: bool| {
        shop.ask(|job| {
            job.force = force;
            job.recipe["fit"]["epochs"] = 1.into();
            job.recipe["fit"]["learning_rate"] = 1e-6.into();
        })
    };
    let refused = hasty(false);
    shop.work(&[]);
    let job = shop.job(&refused);
    assert_eq!(job.state, JobState::Failed);
    let error = job.error.unwrap();
    assert!(
        error.contains("accuracy") && error.contains("force"),
        "{error}"
    );
    assert!(!shop.room.path("models/shop/2").exists());
    assert!(shop.leftovers().is_empty(), "{:?}", shop.leftovers());
    let epochs = shop.threads.block_on(shop.store.epochs(&refused, 0));
    assert_eq!(
        epochs.unwrap().len(),
        1,
        "why it was refused can be looked at"
    );
    let forced = hasty(true);
    shop.work(&[]);
    assert_eq!(shop.job(&forced).state, JobState::Succeeded);
}

#[test]
fn a_version_that_was_measured_on_nothing_is_published_only_by_force() {
    let shop = Shop::new("epochs = 12");
    shop.ask(|_| {});
    shop.work(&[]);
    let unmeasured = |force: bool| {
        let id = shop.ask(|job| {
            job.force = force;
            let data = job.recipe["data"].as_object_mut().unwrap();
            data.remove("test");
            data.remove("validation");
        });
        shop.work(&[]);
        shop.job(&id)
    };
    let job = unmeasured(false);
    assert_eq!(job.state, JobState::Failed, "{job:?}");
    let error = job.error.unwrap();
    for part in ["version 1", "test and validation", "force"] {
        assert!(error.contains(part), "{part:?} in {error}");
    }
    assert_eq!(unmeasured(true).state, JobState::Succeeded);
}

#[test]
fn feedback_is_learned_from_beside_the_original_reviews() {
    let shop = Shop::new(FAST);
    for at in 0..10 {
        let feedback = NewFeedback {
            text: format!("the parcel was meh {at}"),
            label: if at % 2 == 0 {
                Label::Negative
            } else {
                Label::Positive
            },
            language: Some("en".into()),
            model: (at < 5).then(|| "shop".into()),
            version: None,
            answered: None,
        };
        shop.threads
            .block_on(shop.store.add_feedback(&feedback))
            .unwrap();
    }
    let id = shop.ask(|job| job.data = vec!["feedback".into(), "shop.tsv".into()]);
    shop.work(&[]);
    assert_eq!(
        shop.job(&id).state,
        JobState::Succeeded,
        "{:?}",
        shop.job(&id).error
    );
    let bundle = Bundle::load(&shop.room.path("models/shop/1")).unwrap();
    let sources = bundle.manifest.training.sources;
    let rows: Vec<(String, u64)> = sources.into_iter().map(|s| (s.name, s.rows)).collect();
    assert_eq!(rows, [("shop".into(), 360), ("feedback".into(), 10)]);

    let evaluate = ["evaluate", "shop@1", "--format", "json", "--device", "cpu"];
    let kept = ["--data", "feedback", "--database", &shop.url];
    let answers = shop.room.answers(&[&evaluate[..], &kept[..]].concat(), "");
    assert_eq!(answers[0]["rows"], 10);
    assert_eq!(answers[0]["sources"]["feedback"]["path"], "feedback");
    for (model, rows) in [("shop", Some(5)), ("naver", None)] {
        let only = ["--feedback-model", model];
        let output = shop
            .room
            .run(&[&evaluate[..], &kept[..], &only[..]].concat(), b"");
        match rows {
            Some(rows) => assert_eq!(program::lines(&output.stdout)[0]["rows"], rows),
            None => assert!(program::stderr(&output).contains("naver")),
        }
    }
    let pointless = ["--data", "shop.tsv", "--database", &shop.url];
    let output = shop
        .room
        .run(&[&evaluate[..], &pointless[..]].concat(), b"");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_folder_that_cannot_be_written_is_tried_again() {
    let shop = Shop::new(FAST);
    // A file where the folder should be: nobody can write there, the superuser included.
    fs::write(shop.room.path("models"), "").unwrap();
    let id = shop.ask(|_| {});
    shop.work(&[]);
    let job = shop.job(&id);
    assert_eq!((job.state, job.attempts), (JobState::Queued, 1), "{job:?}");
    assert!(job.error.is_some());
}
