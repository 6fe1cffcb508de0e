use super::*;
use std::sync::Arc;

#[test]
fn what_a_worker_skips_while_its_marks_are_read_is_not_lost() {
    let gear = || Gear {
        tasks: Link::new(8).unwrap(),
        results: Link::new(8).unwrap(),
        marks: Shared::new(Marks::new()).unwrap(),
    };
    let gear = gear();
    let (results, marks) = (gear.results.another().unwrap(), gear.marks.clone());
    let body = Body::Thread(None, 1, Arc::new(AtomicBool::new(false)));
    let mut worker = Worker::new(body, "one".to_owned(), 1, gear);
    for id in [7, 8] {
        let envelope = Envelope {
            id: EnvelopeId(id),
            runner: &[],
            function: &[],
            count: 10,
            arguments: &[],
            fds: &[],
            framed: false,
            timed: false,
            ends: &[],
            start: 0,
            timeout: None,
            grace: Duration::ZERO,
            waited: Duration::ZERO,
            attempt: 0,
        };
        worker.submit(&envelope).unwrap();
    }
    let answer = |place, first, count, kind| {
        let head = AnswerHead { place, first, count, kind, nanos: 1, serializing: 0 };
        let mut bytes = vec![0; AnswerHead::LEN];
        head.write(&mut bytes);
        results.put(&mut bytes, Vec::new(), Deadline::now()).unwrap();
    };
    // Four are run, the fifth is skipped, and so is the next chunk: all of it before the marks are looked at.
    let begun = worker.take_back(|| {
        answer(1, 0, 4, AnswerKind::Returned);
        answer(1, 4, 1, AnswerKind::Skipped);
        assert!(!marks.begin(2, 0, false));
        answer(2, 0, 1, AnswerKind::Skipped);
        false
    });
    assert_eq!(begun, [(EnvelopeId(7), 10), (EnvelopeId(8), 1)]);
    let mut events = Vec::new();
    worker.collect(&mut events);
    assert!(!worker.is_corrupt && worker.has.is_empty());
    let skipped: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::GivenBack { id, first, count } => Some((id.0, *first, *count)),
            _ => None,
        })
        .collect();
    assert_eq!(skipped, [(7, 4, 6), (8, 0, 1)], "all from there on is given to others");
}
