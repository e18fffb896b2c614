//! Schedules, nights, alarms and what people did, in both stores: rows come back as they were written, also in place of earlier ones, and questions choose.

use batchstep_coordinator::store::{
    Acknowledgement, AlarmsWanted, BookKind, MessageProgress, MessageState, NewAction, NightState,
    NightlyRecord, NightlyStore as _, NightsWanted, Store as _, StoreError, StoredAlarm,
    StoredBook, StoredMessage, StoredNight, StoredNightSeries, StoredSchedule,
};

use super::{OnDisk, Place, at, contract};

contract!(
    schedules_come_back_by_name_and_go_with_what_was_remembered,
    nights_are_chosen_newest_first,
    a_night_that_is_written_again_keeps_its_series,
    series_are_those_of_the_nights_that_are_asked_for,
    books_are_replaced_and_forgotten,
    alarms_are_chosen_by_when_they_were_open,
    numbers_of_alarms_and_actions_are_never_used_twice,
    messages_stay_known_and_their_delivery_is_that_of_their_digest,
);

const ALL: u32 = 1000;

fn schedule(name: &str) -> StoredSchedule {
    StoredSchedule {
        name: name.to_owned(),
        cron: "0 2 * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        definition: vec![0, 1, 255],
        enabled: true,
        created_at: at(1),
        settled_until: at(2),
    }
}

fn night(schedule: &str, number: u32) -> StoredNight {
    StoredNight {
        schedule: schedule.to_owned(),
        number,
        date: format!("2026-11-{number:02}"),
        planned_at: at(i64::from(number) * 86_400),
        started_at: Some(at(i64::from(number) * 86_400 + 1)),
        finished_at: None,
        state: NightState::Measuring,
        note: "it's \"late\"".to_owned(),
        life: "{\"a\":1}".to_owned(),
        summary: "{}".to_owned(),
    }
}

fn series(schedule: &str, night: u32, series: &str) -> StoredNightSeries {
    StoredNightSeries {
        schedule: schedule.to_owned(),
        night,
        series: series.to_owned(),
        about: "{}".to_owned(),
        observation: "{\"state\":\"missing\"}".to_owned(),
        verdicts: "[]".to_owned(),
    }
}

fn book(schedule: &str, kind: BookKind, key: &str) -> StoredBook {
    StoredBook {
        schedule: schedule.to_owned(),
        kind,
        key: key.to_owned(),
        book: "{}".to_owned(),
    }
}

fn alarm(id: u64, schedule: &str) -> StoredAlarm {
    StoredAlarm {
        id,
        schedule: schedule.to_owned(),
        subject: "GPU-1|linear|train|f32".to_owned(),
        kind: "confirmed".to_owned(),
        night: 3,
        opened_at: at(3),
        detail: "{}".to_owned(),
        resolved: None,
        acknowledged: None,
        is_right: None,
    }
}

fn action(user: &str, alarm: Option<u64>) -> NewAction {
    NewAction {
        at: at(5),
        user: user.to_owned(),
        caller: "local".to_owned(),
        action: "acknowledge".to_owned(),
        schedule: "a".to_owned(),
        alarm,
        reason: "why".to_owned(),
    }
}

async fn schedules_come_back_by_name_and_go_with_what_was_remembered(place: impl Place) {
    use NightlyRecord::{Book, Night, Schedule, ScheduleRemoved, Series};
    let store = place.open().await;
    let changed = StoredSchedule {
        enabled: false,
        settled_until: at(9),
        ..schedule("a")
    };
    let records = [
        Schedule(schedule("b")),
        Schedule(schedule("a")),
        Schedule(changed.clone()),
        Book(book("a", BookKind::Series, "x")),
        Book(book("b", BookKind::Series, "x")),
        Night(night("b", 1)),
        Series(series("b", 1, "x")),
    ];
    store.nightly().save_nightly(&records).await.unwrap();
    drop(store);
    let store = place.open().await;
    let known = store.nightly().schedules().await.unwrap();
    assert_eq!(known, [changed.clone(), schedule("b")]);
    let removed = [ScheduleRemoved("b".to_owned())];
    store.nightly().save_nightly(&removed).await.unwrap();
    assert_eq!(store.nightly().schedules().await.unwrap(), [changed]);
    assert_eq!(store.nightly().books("b").await.unwrap(), []);
    assert_eq!(store.nightly().books("a").await.unwrap().len(), 1);
    // Its nights stay, and their numbers go on where there is one of the name again.
    assert_eq!(store.nightly().last_night("b").await.unwrap(), 1);
    assert_eq!(
        store.nightly().night_series("b", 1, 1).await.unwrap().len(),
        1
    );
}

async fn nights_are_chosen_newest_first(place: impl Place) {
    let store = place.open().await;
    let done = StoredNight {
        state: NightState::Done,
        finished_at: Some(at(90_000)),
        ..night("a", 1)
    };
    let missed = StoredNight {
        started_at: None,
        finished_at: Some(at(180_000)),
        state: NightState::Missed,
        ..night("a", 2)
    };
    let again = StoredNight {
        state: NightState::Again,
        ..night("a", 3)
    };
    let abandoned = StoredNight {
        state: NightState::Abandoned,
        ..night("b", 7)
    };
    let all = [&done, &again, &missed, &abandoned];
    let records: Vec<NightlyRecord> = all.map(|night| NightlyRecord::Night(night.clone())).into();
    store.nightly().save_nightly(&records).await.unwrap();
    drop(store);
    let store = place.open().await;
    let store = store.nightly();
    let chosen = async |wanted: NightsWanted| -> Vec<(String, u32)> {
        let nights = store.nights(&wanted).await.unwrap();
        nights
            .into_iter()
            .map(|it| (it.schedule, it.number))
            .collect()
    };
    let a = |number| ("a".to_owned(), number);
    let wanted = |limit| NightsWanted {
        schedule: Some("a".to_owned()),
        limit,
        ..NightsWanted::default()
    };
    let everything = NightsWanted {
        limit: ALL,
        ..NightsWanted::default()
    };
    assert_eq!(
        store.nights(&everything).await.unwrap(),
        [abandoned, again, missed, done]
    );
    assert_eq!(chosen(wanted(ALL)).await, [a(3), a(2), a(1)]);
    assert_eq!(chosen(wanted(2)).await, [a(3), a(2)]);
    assert_eq!(chosen(wanted(0)).await, []);
    let number = NightsWanted {
        number: Some(2),
        ..wanted(ALL)
    };
    assert_eq!(chosen(number).await, [a(2)]);
    let date = NightsWanted {
        date: Some("2026-11-01".to_owned()),
        ..wanted(ALL)
    };
    assert_eq!(chosen(date).await, [a(1)]);
    let under_way = NightsWanted {
        under_way: true,
        ..everything
    };
    assert_eq!(chosen(under_way).await, [a(3)]);
    assert_eq!(store.last_night("a").await.unwrap(), 3);
    assert_eq!(store.last_night("c").await.unwrap(), 0);
}

async fn a_night_that_is_written_again_keeps_its_series(place: impl Place) {
    let store = place.open().await;
    let store = store.nightly();
    let records = [
        NightlyRecord::Night(night("a", 1)),
        NightlyRecord::Series(series("a", 1, "x")),
    ];
    store.save_nightly(&records).await.unwrap();
    let done = StoredNight {
        state: NightState::Done,
        finished_at: Some(at(9)),
        note: String::new(),
        ..night("a", 1)
    };
    let again = [NightlyRecord::Night(done.clone())];
    store.save_nightly(&again).await.unwrap();
    let wanted = NightsWanted {
        limit: ALL,
        ..NightsWanted::default()
    };
    assert_eq!(store.nights(&wanted).await.unwrap(), [done]);
    assert_eq!(
        store.night_series("a", 1, 1).await.unwrap(),
        [series("a", 1, "x")]
    );
}

async fn series_are_those_of_the_nights_that_are_asked_for(place: impl Place) {
    let store = place.open().await;
    let judged = StoredNightSeries {
        verdicts: "[1]".to_owned(),
        ..series("a", 2, "x")
    };
    let mut records = Vec::new();
    for number in 1..=3 {
        records.push(NightlyRecord::Night(night("a", number)));
        records.push(NightlyRecord::Series(series("a", number, "y")));
        records.push(NightlyRecord::Series(series("a", number, "x")));
    }
    records.push(NightlyRecord::Series(judged.clone()));
    records.push(NightlyRecord::Night(night("b", 2)));
    records.push(NightlyRecord::Series(series("b", 2, "x")));
    store.nightly().save_nightly(&records).await.unwrap();
    drop(store);
    let store = place.open().await;
    let found = store.nightly().night_series("a", 2, 3).await.unwrap();
    let expected = [
        judged,
        series("a", 2, "y"),
        series("a", 3, "x"),
        series("a", 3, "y"),
    ];
    assert_eq!(found, expected);
    assert_eq!(store.nightly().night_series("a", 4, 9).await.unwrap(), []);
}

async fn books_are_replaced_and_forgotten(place: impl Place) {
    let store = place.open().await;
    // One key may name a series and a model.
    let kept = StoredBook {
        book: "{\"seen\":2}".to_owned(),
        ..book("a", BookKind::Series, "x")
    };
    let records = [
        NightlyRecord::Book(book("a", BookKind::Series, "x")),
        NightlyRecord::Book(book("a", BookKind::Model, "x")),
        NightlyRecord::Book(book("a", BookKind::Sizes, "x")),
        NightlyRecord::Book(kept.clone()),
        NightlyRecord::BookRemoved {
            schedule: "a".to_owned(),
            kind: BookKind::Model,
            key: "x".to_owned(),
        },
    ];
    store.nightly().save_nightly(&records).await.unwrap();
    drop(store);
    let store = place.open().await;
    let mut books = store.nightly().books("a").await.unwrap();
    books.sort_by_key(|book| book.kind);
    assert_eq!(books, [kept, book("a", BookKind::Sizes, "x")]);
}

async fn alarms_are_chosen_by_when_they_were_open(place: impl Place) {
    let store = place.open().await;
    let known = StoredAlarm {
        acknowledged: Some(Acknowledgement {
            at: at(8),
            by: "ada".to_owned(),
            reason: String::new(),
        }),
        is_right: Some(false),
        ..alarm(2, "a")
    };
    let over = StoredAlarm {
        resolved: Some((at(100), "as before again".to_owned())),
        is_right: Some(true),
        ..alarm(3, "a")
    };
    let records = [
        NightlyRecord::Alarm(alarm(4, "b")),
        NightlyRecord::Alarm(alarm(2, "a")),
        NightlyRecord::Alarm(known.clone()),
        NightlyRecord::Alarm(over.clone()),
    ];
    store.nightly().save_nightly(&records).await.unwrap();
    drop(store);
    let store = place.open().await;
    let store = store.nightly();
    let chosen = async |wanted: AlarmsWanted| -> Vec<u64> {
        let alarms = store.alarms(&wanted).await.unwrap();
        alarms.iter().map(|alarm| alarm.id).collect()
    };
    let open = AlarmsWanted::default();
    let everything = AlarmsWanted {
        since: Some(at(0)),
        ..AlarmsWanted::default()
    };
    let all = [known, over, alarm(4, "b")];
    assert_eq!(store.alarms(&everything).await.unwrap(), all);
    assert_eq!(chosen(open.clone()).await, [2, 4]);
    let of_a = AlarmsWanted {
        schedule: Some("a".to_owned()),
        ..open
    };
    assert_eq!(chosen(of_a.clone()).await, [2]);
    let since = |seconds| AlarmsWanted {
        since: Some(at(seconds)),
        ..of_a.clone()
    };
    assert_eq!(chosen(since(100)).await, [2, 3]);
    assert_eq!(chosen(since(101)).await, [2]);
    // Whoever names them means them, whatever else they are.
    let named = AlarmsWanted {
        ids: Some(vec![4, 3, 99]),
        ..of_a
    };
    assert_eq!(chosen(named).await, [3, 4]);
}

async fn numbers_of_alarms_and_actions_are_never_used_twice(place: impl Place) {
    let store = place.open().await;
    assert_eq!(store.nightly().last_alarm().await.unwrap(), 0);
    assert_eq!(store.nightly().actions(ALL).await.unwrap(), []);
    let records = [
        NightlyRecord::Alarm(alarm(41, "a")),
        NightlyRecord::Action(action("ada", Some(41))),
        NightlyRecord::Action(action("grace", None)),
    ];
    store.nightly().save_nightly(&records).await.unwrap();
    drop(store);
    let store = place.open().await;
    let third = [NightlyRecord::Action(action("lin", None))];
    store.nightly().save_nightly(&third).await.unwrap();
    assert_eq!(store.nightly().last_alarm().await.unwrap(), 41);
    let actions = store.nightly().actions(ALL).await.unwrap();
    let found: Vec<(u64, &str)> = actions
        .iter()
        .map(|stored| (stored.seq, stored.action.user.as_str()))
        .collect();
    assert_eq!(found, [(3, "lin"), (2, "grace"), (1, "ada")]);
    assert_eq!(actions[2].action, action("ada", Some(41)));
    assert_eq!(store.nightly().actions(1).await.unwrap()[0].seq, 3);
}

async fn messages_stay_known_and_their_delivery_is_that_of_their_digest(place: impl Place) {
    let progress = |state, tries| MessageProgress {
        state,
        tries,
        next_try_at: at(60),
        last_error: (tries > 0).then(|| "it hangs up".to_owned()),
    };
    let message = |channel: &str, key: &str, digest: &str, second| StoredMessage {
        channel: channel.to_owned(),
        dedup_key: key.to_owned(),
        digest: digest.to_owned(),
        message: "{}".to_owned(),
        queued_at: at(second),
        progress: progress(MessageState::Queued, 0),
    };
    let store = place.open().await;
    let records = [
        message("mail", "one", "d1", 0),
        message("mail", "two", "d1", 0),
        message("mail", "three", "d2", 50),
        message("hook", "one", "d1", 0),
    ]
    .map(NightlyRecord::Message);
    store.nightly().save_nightly(&records).await.unwrap();
    let delivered = [NightlyRecord::Delivery {
        channel: "mail".to_owned(),
        digest: "d1".to_owned(),
        progress: progress(MessageState::Sent, 2),
    }];
    store.nightly().save_nightly(&delivered).await.unwrap();
    drop(store);
    let store = place.open().await;
    let found = async |second| -> Vec<(String, String, u32)> {
        let messages = store.nightly().messages(at(second)).await.unwrap();
        let mut found: Vec<_> = messages
            .into_iter()
            .map(|it| (it.channel, it.dedup_key, it.progress.tries))
            .collect();
        found.sort();
        found
    };
    let row = |channel: &str, key: &str, tries| (channel.to_owned(), key.to_owned(), tries);
    let queued = [row("hook", "one", 0), row("mail", "three", 0)];
    let mut all = queued.to_vec();
    all.extend([row("mail", "one", 2), row("mail", "two", 2)]);
    all.sort();
    assert_eq!(found(0).await, all);
    // What is on its way is known however old it is; what was sent, for as long as it is asked for.
    assert_eq!(found(51).await, queued);
}

#[tokio::test]
async fn what_cannot_be_written_leaves_nothing_behind() {
    let place = OnDisk::default();
    let store = place.open().await;
    let broken = StoredNight {
        life: "no JSON".to_owned(),
        ..night("a", 1)
    };
    let orphan = [
        NightlyRecord::Schedule(schedule("a")),
        NightlyRecord::Series(series("a", 5, "x")),
    ];
    let broken = [
        NightlyRecord::Schedule(schedule("a")),
        NightlyRecord::Night(broken),
    ];
    for records in [orphan, broken] {
        let refused = store.nightly().save_nightly(&records).await;
        assert!(
            matches!(refused, Err(StoreError::Database { .. })),
            "{refused:?}"
        );
        assert_eq!(store.nightly().schedules().await.unwrap(), []);
    }
}
