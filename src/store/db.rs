//! A connection that runs prepared statements and speaks of failures in the store's own words.

use std::cell::Cell;

use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sql::{self, Sql};
use super::{Error, Result};

/// The connection, with the name of its file for people.
#[derive(Debug)]
pub(super) struct Db {
    conn: Connection,
    path: String,
    /// Whether anything failed for want of room since it was last asked.
    was_full: Cell<bool>,
}

impl Db {
    pub(super) fn new(conn: Connection, path: String) -> Self {
        conn.set_prepared_statement_cache_capacity(sql::COUNT);
        Self { conn, path, was_full: Cell::new(false) }
    }

    pub(super) fn conn(&self) -> &Connection {
        &self.conn
    }

    pub(super) fn conn_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }

    /// Closes the database, with what that has to say.
    pub(super) fn close(self) -> rusqlite::Result<()> {
        self.conn.close().map_err(|(_, fault)| fault)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The statement, ready to run.
    pub(super) fn prepare(&self, sql: Sql) -> Result<CachedStatement<'_>> {
        self.conn.prepare_cached(sql.text()).map_err(|source| self.error(sql.action(), source))
    }

    /// Runs a statement that answers no rows; returns how many rows it changed.
    pub(super) fn execute(&self, sql: Sql, params: impl Params) -> Result<usize> {
        self.prepare(sql)?.execute(params).map_err(|source| self.error(sql.action(), source))
    }

    /// The first row, if there is one.
    pub(super) fn row<T>(
        &self,
        sql: Sql,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        self.prepare(sql)?.query_row(params, read).optional().map_err(|source| self.error(sql.action(), source))
    }

    /// All rows.
    pub(super) fn rows<T>(
        &self,
        sql: Sql,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let fail = |source| self.error(sql.action(), source);
        self.prepare(sql)?.query_map(params, read).map_err(fail)?.collect::<rusqlite::Result<_>>().map_err(fail)
    }

    /// The value as the JSON that is stored.
    pub(super) fn document<T: Serialize>(&self, action: &'static str, value: &T) -> Result<String> {
        serde_json::to_string(value).map_err(|source| self.unwritable(action, source))
    }

    /// What the store says of a value that cannot be put into the form in which it is kept.
    pub(super) fn unwritable(
        &self,
        action: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::Database { action, path: self.path.clone(), source: source.into() }
    }

    /// What the store says of a failure of SQLite.
    pub(super) fn error(&self, action: &'static str, source: rusqlite::Error) -> Error {
        let error = translate(&self.path, action, source);
        if matches!(error, Error::Full { .. }) {
            self.was_full.set(true);
        }
        error
    }

    /// Whether anything failed for want of room since this was last asked.
    pub(super) fn take_was_full(&self) -> bool {
        self.was_full.take()
    }

    /// What the store says where the database contradicts itself.
    pub(super) fn damaged(&self, detail: impl Into<String>) -> Error {
        Error::Damaged { path: self.path.clone(), detail: detail.into() }
    }
}

/// What the store says of a failure of SQLite on the file `path`.
pub(super) fn translate(path: &str, action: &'static str, source: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => return Error::Full { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return Error::Damaged { path, detail: source.to_string() };
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => return Error::InUse { path },
        Some(_) | None => {}
    }
    // A value that does not read back was not written by this program.
    match source {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => Error::Damaged { path, detail: source.to_string() },
        other => Error::Database { action, path, source: Box::new(other) },
    }
}

/// Reads a stored JSON document.
pub(super) fn read_document<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let bytes = row.get_ref(column)?.as_bytes().map_err(|fault| odd(column, fault))?;
    serde_json::from_slice(bytes).map_err(|fault| odd(column, fault))
}

/// Reads a stored JSON document that may be absent.
pub(super) fn read_optional_document<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let bytes = row.get_ref(column)?.as_bytes_or_null().map_err(|fault| odd(column, fault))?;
    bytes.map(serde_json::from_slice).transpose().map_err(|fault| odd(column, fault))
}

/// A column that holds what this program never writes.
pub(super) fn odd(column: usize, fault: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, fault.into())
}

/// The number as SQLite keeps it; no size or tick reaches the clamp.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The limit as SQLite takes it.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Reads a number that is never negative.
pub(super) fn read_count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}
