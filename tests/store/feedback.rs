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
            let found = store.feedback(&filter, None).await.unwrap();
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

#[test]
fn much_feedback_is_read_and_forgotten_in_parts() {
    on_both(async |database| {
        let store = database.store();
        store.ready().await.unwrap();
        // Pairs of the same millisecond, so that a part may end between the two.
        let series = match database.is_postgres() {
            true => "from generate_series(1, 12001) as s(n)",
            false => {
                "from (with recursive s(n) as (select 1 union all select n + 1 from s where n < 12001) select n from s)"
            }
        };
        let id = match database.is_postgres() {
            true => "lpad(n::text, 32, '0')",
            false => "printf('%032d', n)",
        };
        database
            .execute(&format!(
                "insert into feedback (id, text, label, language, model, created_ms) \
                 select {id}, 'text', 'positive', case n % 3 when 0 then 'ko' when 1 then 'en' end, \
                 case n % 2 when 0 then 'shop' end, n / 2 {series}"
            ))
            .await;
        let count = async |filter: FeedbackFilter| {
            let mut found = Vec::new();
            loop {
                let page = store.feedback(&filter, found.last()).await.unwrap();
                assert!(page.len() <= 5_000);
                if page.is_empty() {
                    break;
                }
                found.extend(page);
            }
            let mut ids: Vec<_> = found.iter().map(|row| row.id.clone()).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), found.len(), "each once");
            found.len()
        };
        let all = FeedbackFilter::default();
        assert_eq!(count(all.clone()).await, 12_001);
        let korean = FeedbackFilter {
            languages: vec!["ko".into()],
            ..all.clone()
        };
        assert_eq!(
            count(korean).await,
            8_000,
            "of a language that is not known too"
        );
        let of_one = FeedbackFilter {
            model: Some("shop".into()),
            until_ms: Some(50),
            ..all.clone()
        };
        assert_eq!(count(of_one).await, 50);
        store.add_feedback(&feedback("new", None)).await.unwrap();
        let hour = Duration::from_secs(3_600);
        assert_eq!(store.forget_feedback(hour).await.unwrap(), 12_001);
        assert_eq!(count(all).await, 1);
    });
}
