//! A node's children: a short list while they are few, which is what most nodes have; a table from then on.

use std::collections::HashMap;

const FEW: usize = 8;

pub(super) enum Children<N> {
    Few(Vec<(Box<str>, N)>),
    Many(HashMap<Box<str>, Box<N>>),
}

impl<N> Default for Children<N> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<N: Default> Children<N> {
    pub fn get(&self, level: &str) -> Option<&N> {
        match self {
            Self::Few(list) => list.iter().find(|(name, _)| **name == *level).map(|(_, node)| node),
            Self::Many(table) => table.get(level).map(|node| &**node),
        }
    }

    pub fn get_mut(&mut self, level: &str) -> Option<&mut N> {
        match self {
            Self::Few(list) => list.iter_mut().find(|(name, _)| **name == *level).map(|(_, node)| node),
            Self::Many(table) => table.get_mut(level).map(|node| &mut **node),
        }
    }

    pub fn get_or_insert(&mut self, level: &str) -> &mut N {
        if let Self::Few(list) = self
            && list.len() >= FEW
            && !list.iter().any(|(name, _)| **name == *level)
        {
            *self = Self::Many(std::mem::take(list).into_iter().map(|(name, node)| (name, Box::new(node))).collect());
        }
        match self {
            Self::Few(list) => {
                let at = list.iter().position(|(name, _)| **name == *level).unwrap_or_else(|| {
                    list.reserve_exact(1);
                    list.push((level.into(), N::default()));
                    list.len() - 1
                });
                #[expect(clippy::indexing_slicing, reason = "the position was found or made in the line above")]
                &mut list[at].1
            }
            Self::Many(table) => table.entry(level.into()).or_default(),
        }
    }

    pub fn remove(&mut self, level: &str) {
        match self {
            Self::Few(list) => list.retain(|(name, _)| **name != *level),
            Self::Many(table) => {
                table.remove(level);
                if table.is_empty() {
                    *self = Self::default();
                }
            }
        }
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&mut N) -> bool) {
        match self {
            Self::Few(list) => list.retain_mut(|(_, node)| keep(node)),
            Self::Many(table) => table.retain(|_, node| keep(node)),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &N)> {
        let (few, many) = match self {
            Self::Few(list) => (Some(list), None),
            Self::Many(table) => (None, Some(table)),
        };
        let few = few.into_iter().flatten().map(|(name, node)| (&**name, node));
        few.chain(many.into_iter().flatten().map(|(name, node)| (&**name, &**node)))
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            Self::Many(table) => table.is_empty(),
        }
    }
}
