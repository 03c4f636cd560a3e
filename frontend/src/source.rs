//! Lines of the user's program, as small numbers.

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::sync::{Arc, LazyLock};
use ttk_ir::Loc;

#[derive(Default)]
struct Table {
    locs: Vec<Loc>,
    ids: FxHashMap<(Arc<str>, u32), u32>,
}

static TABLE: LazyLock<RwLock<Table>> = LazyLock::new(RwLock::default);

/// The number of a line, from 1.
pub fn intern(file: &Arc<str>, line: u32) -> u32 {
    if let Some(&id) = TABLE.read().ids.get(&(file.clone(), line)) {
        return id;
    }
    let mut table = TABLE.write();
    table.locs.push(Loc { file: file.clone(), line });
    let id = table.locs.len() as u32;
    table.ids.insert((file.clone(), line), id);
    id
}

/// The line a number stands for; 0 is unknown.
pub fn lookup(id: u32) -> Option<Loc> {
    id.checked_sub(1).and_then(|i| TABLE.read().locs.get(i as usize).cloned())
}
