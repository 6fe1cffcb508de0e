use crate::util::{directory, transfer, transfer_as};
use multiproc_core::Name;
use multiproc_core::codec::Limits;
use multiproc_shm::{Shared, ShmSafe};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[derive(ShmSafe, Debug)]
#[repr(C)]
struct Progress {
    done: AtomicU64,
    parts: [AtomicU32; 3],
    total: u32,
}

#[derive(ShmSafe)]
#[repr(C, align(4096))]
struct Page {
    bytes: [u8; 4096],
}

#[derive(ShmSafe)]
#[repr(transparent)]
struct Wrapper<T>(T);

fn progress() -> Progress {
    Progress { done: AtomicU64::new(5), parts: Default::default(), total: 7 }
}

#[test]
fn two_mappings_are_one_value() {
    let first = Shared::new(progress()).unwrap();
    let second = transfer(&first);
    assert_ne!(&raw const *first, &raw const *second);
    assert!(Shared::ptr_eq(&first, &second));
    second.done.fetch_add(1, Ordering::Relaxed);
    first.parts[2].store(9, Ordering::Relaxed);
    drop(first);
    assert_eq!(second.done.load(Ordering::Relaxed), 6);
    assert_eq!(second.parts[2].load(Ordering::Relaxed), 9);
    assert_eq!(second.total, 7);
    assert!(format!("{second:?}").contains("total: 7"));
}

#[test]
fn clones_are_the_same_and_others_are_not() {
    let first = Shared::new(1u32).unwrap();
    assert!(Shared::ptr_eq(&first, &first.clone()));
    assert!(!Shared::ptr_eq(&first, &Shared::new(1u32).unwrap()));
}

#[test]
fn alignment_up_to_a_page_is_kept() {
    let page = Shared::new(Page { bytes: [3; 4096] }).unwrap();
    let other = transfer(&page);
    assert_eq!((&raw const *other).addr() % 4096, 0);
    assert_eq!(other.bytes[4095], 3);
    let wide = transfer(&Shared::new(Wrapper(u128::MAX)).unwrap());
    assert_eq!(wide.0, u128::MAX);
}

#[test]
fn a_value_of_no_size_works() {
    assert_eq!(*transfer(&Shared::new(()).unwrap()), ());
    assert_eq!(transfer(&Shared::new([0u64; 0]).unwrap()).len(), 0);
}

#[test]
fn another_type_is_refused() {
    let value = Shared::new(5u32).unwrap();
    let error = transfer_as::<_, Shared<i32>>(&value, &Limits::trusted()).unwrap_err();
    assert!(error.to_string().contains("another type"), "{error}");
    let error = transfer_as::<_, Shared<[u32; 1]>>(&value, &Limits::trusted()).unwrap_err();
    assert!(error.to_string().contains("another type"), "{error}");
}

#[test]
fn an_anonymous_value_comes_from_anybody() {
    let value = Shared::new(5u32).unwrap();
    assert_eq!(*transfer_as::<_, Shared<u32>>(&value, &Limits::untrusted()).unwrap(), 5);
}

#[test]
fn layouts_differ_by_name_field_and_offset() {
    mod other {
        use multiproc_shm::ShmSafe;
        #[derive(ShmSafe)]
        #[repr(C)]
        pub(super) struct Progress {
            pub(super) finished: std::sync::atomic::AtomicU64,
            pub(super) parts: [std::sync::atomic::AtomicU32; 3],
            pub(super) total: u32,
        }
    }
    let _ = |p: other::Progress| (p.finished, p.parts, p.total);
    assert_ne!(Progress::LAYOUT, other::Progress::LAYOUT);
    assert_ne!(<[u32; 2]>::LAYOUT, <[u32; 3]>::LAYOUT);
    assert_ne!(<Wrapper<u32>>::LAYOUT, <Wrapper<i32>>::LAYOUT);
    assert_ne!(f64::LAYOUT, u64::LAYOUT);
}

#[test]
fn handles_travel_inside_structures() {
    let first = Shared::new(AtomicU32::new(1)).unwrap();
    let (name, copies) = transfer(&("x".to_string(), vec![Some(first.clone()), None, Some(first.clone())]));
    assert_eq!(name, "x");
    for copy in copies.into_iter().flatten() {
        copy.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(first.load(Ordering::Relaxed), 3);
}

#[test]
fn parameters_that_no_field_shows_make_other_types() {
    #[derive(ShmSafe, Debug)]
    #[repr(C)]
    struct Tag<const N: i128>(u64);
    #[derive(ShmSafe)]
    #[repr(C)]
    struct Flag<const YES: bool, const LETTER: char>(u64);
    #[derive(ShmSafe)]
    #[repr(C)]
    struct Unit<T>([T; 0], u64);

    let layouts = [
        Tag::<1>::LAYOUT,
        Tag::<2>::LAYOUT,
        Tag::<{ 1 << 64 }>::LAYOUT,
        Tag::<-1>::LAYOUT,
        Flag::<true, 'a'>::LAYOUT,
        Flag::<false, 'a'>::LAYOUT,
        Flag::<true, 'b'>::LAYOUT,
        Unit::<u8>::LAYOUT,
        Unit::<i8>::LAYOUT,
    ];
    let different: std::collections::HashSet<u64> = layouts.into_iter().collect();
    assert_eq!(different.len(), layouts.len(), "{layouts:?}");

    let dir = directory();
    let name = Name::new("tag").unwrap();
    let tag = Shared::create_in(&dir.names, &name, Tag::<1>(5)).unwrap();
    assert!(Shared::<Tag<2>>::open_in(&dir.names, &name).unwrap_err().is_wrong_type());
    assert_eq!(Shared::<Tag<1>>::open_in(&dir.names, &name).unwrap().0, tag.0);
}

#[test]
fn parameters_written_by_a_macro_are_found() {
    macro_rules! tags {
        ($given:ident, $param:ident) => {
            #[derive(ShmSafe)]
            #[repr(C)]
            struct Own<T, const N: u8>([T; 0], u64);
            #[derive(ShmSafe)]
            #[repr(C)]
            struct $given<const $param: u8>(u64);
        };
    }
    tags!(Given, PARAM);
    assert_ne!(Own::<u8, 1>::LAYOUT, Own::<u8, 2>::LAYOUT);
    assert_ne!(Given::<1>::LAYOUT, Given::<2>::LAYOUT);
}
