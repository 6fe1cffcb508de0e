#[test]
fn guards_stay_on_their_thread_and_values_are_plain() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}
