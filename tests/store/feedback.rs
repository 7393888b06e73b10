//! Feedback kept, chosen, forgotten.

use std::time::Duration;

use sentiment::sentiment::Label;
use sentiment::store::{FeedbackFilter, NewFeedback};

use crate::on_both;

fn feedback(text: &str, language: Option<&str>) -> NewFeedback {
    NewFeedback {
        text: text.into(),
        label: Label::Negative,
        language: language.map(str::to_owned),
        model: Some("naver".into()),
        version: Some("1".into()),
        answered: Some(Label::Positive),
    }
}

#[test]
fn feedback_is_kept_until_it_is_deleted_or_too_old() {
    on_both(async |database| {
        let store = database.store();
        let first = store
            .add_feedback(&feedback("별로", Some("ko")))
            .await
            .unwrap();
        store
            .add_feedback(&feedback("bad", Some("en")))
            .await
            .unwrap();
        store.add_feedback(&feedback(":(", None)).await.unwrap();
        let texts = async |languages: &[&str]| -> Vec<String> {
            let filter = FeedbackFilter {
                languages: languages.iter().map(|l| (*l).to_owned()).collect(),
                until_ms: None,
                ..FeedbackFilter::default()
            };
            let found = store.feedback(&filter).await.unwrap();
            let mut texts: Vec<String> = found.into_iter().map(|f| f.text).collect();
            texts.sort();
            texts
        };
        assert_eq!(texts(&["ko"]).await, [":(", "별로"]);
        assert_eq!(texts(&[]).await.len(), 3);
        assert!(store.delete_feedback(&first).await.unwrap());
        assert!(!store.delete_feedback(&first).await.unwrap());
        assert_eq!(texts(&["ko"]).await, [":("]);
        let hour = Duration::from_secs(3_600);
        assert_eq!(store.forget_feedback(hour).await.unwrap(), 0);
        database
            .execute("update feedback set created_ms = created_ms - 7200000 where text = 'bad'")
            .await;
        assert_eq!(store.forget_feedback(hour).await.unwrap(), 1);
        assert_eq!(texts(&[]).await, [":("]);
    });
}
