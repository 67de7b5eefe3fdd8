"""The tables of the embedded gallery, their version, and the refusal of a newer one."""

import sqlite3
import time
import uuid

from index.errors import GalleryUnavailable

VERSION = 1
APPLICATION_ID = 0x4447524C  # "DGRL": tells a gallery from any other SQLite file
PAGE_SIZE = 8192  # seven vectors of 512 float16 to a page; 4096 would waste a quarter

_TABLES = """
CREATE TABLE gallery (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE spaces (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  bundle_id TEXT NOT NULL,
  dimension INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'building', 'retired', 'dropping'))
);
CREATE UNIQUE INDEX one_space_of_a_state ON spaces (state) WHERE state != 'dropping';
CREATE TABLE identities (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE cameras (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE images (
  id INTEGER PRIMARY KEY AUTOINCREMENT,      -- never reused
  identity INTEGER NOT NULL REFERENCES identities (id),
  content_hash TEXT NOT NULL,
  camera INTEGER REFERENCES cameras (id),
  captured_at INTEGER,                       -- microseconds since 1970, UTC
  enrolled_at INTEGER NOT NULL,
  flagged INTEGER NOT NULL,
  quality TEXT,                              -- JSON
  metadata TEXT,                             -- JSON
  filename TEXT,
  UNIQUE (identity, content_hash)
);
CREATE TABLE pictures (
  image INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
  media_type TEXT NOT NULL,
  data BLOB NOT NULL
);
CREATE TABLE skipped (                       -- images that a bundle under construction could not embed
  image INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
  reason TEXT NOT NULL
);
CREATE TABLE facts (                         -- the scalars of `metadata`, to be filtered on
  key TEXT NOT NULL,
  value TEXT NOT NULL,                       -- JSON
  image INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
  PRIMARY KEY (key, value, image)
) WITHOUT ROWID;
CREATE INDEX facts_of_an_image ON facts (image);
CREATE TABLE deletions (image INTEGER PRIMARY KEY, at INTEGER NOT NULL);
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  actor TEXT,
  action TEXT NOT NULL,
  detail TEXT NOT NULL                       -- JSON
);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_erased BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""


def check(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file has the tables already. Refuses one that is not a gallery, or of a newer version."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version > VERSION and application == APPLICATION_ID:
        raise GalleryUnavailable(
            f"{path} has gallery schema {version}, newer than the {VERSION} known here: upgrade first"
        )
    if application != APPLICATION_ID and (tables or version or application):
        raise GalleryUnavailable(f"{path} is an SQLite file, but not a gallery")
    return bool(tables)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file."""
    rows = [("gallery_id", uuid.uuid4().hex), ("created_at", time.time_ns() // 1000), ("generation", 0)]
    marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
    script = f"BEGIN IMMEDIATE; {_TABLES} {marks}"
    connection.executescript(script)  # one transaction: a killed start leaves an empty file or a whole schema
    connection.executemany("INSERT INTO gallery VALUES (?, ?)", rows)
    connection.execute("COMMIT")


def gallery_id(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT value FROM gallery WHERE key = 'gallery_id'").fetchone()[0])


def create_space(connection: sqlite3.Connection, bundle_id: str, dimension: int, state: str) -> int:
    """A search space: the vectors of one bundle, in a table of their own."""
    row = connection.execute(
        "INSERT INTO spaces (bundle_id, dimension, state) VALUES (?, ?, ?) RETURNING id",
        (bundle_id, dimension, state),
    ).fetchone()
    space = int(row[0])
    connection.execute(
        f"CREATE TABLE {vector_table(space)} "
        "(image INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE, vector BLOB NOT NULL)"
    )
    return space


def vector_table(space: int) -> str:
    return f"vectors_{space:d}"
