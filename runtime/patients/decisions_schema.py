"""Table of the decisions, and the migrations from the corrections of earlier releases."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE corrections (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        film TEXT NOT NULL,
        scheme TEXT NOT NULL,
        region TEXT NOT NULL,
        model_grade INTEGER NOT NULL,
        before INTEGER NOT NULL,
        grade INTEGER NOT NULL,
        reason TEXT NOT NULL,
        reader TEXT NOT NULL,
        model TEXT NOT NULL,
        at TEXT NOT NULL
    );
    CREATE INDEX corrections_by_film ON corrections (film, scheme, seq);
    CREATE TRIGGER corrections_stay BEFORE UPDATE ON corrections
        BEGIN SELECT RAISE(ABORT, 'corrections are never changed'); END;
    CREATE TRIGGER corrections_remain BEFORE DELETE ON corrections
        BEGIN SELECT RAISE(ABORT, 'corrections are never removed'); END;
    """,
    # DICOM's word: image.
    """
    ALTER TABLE corrections RENAME COLUMN film TO image;
    DROP INDEX corrections_by_film;
    CREATE INDEX corrections_by_image ON corrections (image, scheme, seq);
    """,
    # One table for every kind of decision, one number for all of them.
    """
    CREATE TABLE decisions (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        object TEXT,
        details TEXT NOT NULL,
        reason TEXT NOT NULL,
        signed_by TEXT,
        source TEXT NOT NULL,
        control TEXT UNIQUE,
        at TEXT NOT NULL
    );
    INSERT INTO decisions (kind, subject, details, reason, signed_by, source, at)
        SELECT 'correction', image, json_object('scheme', scheme, 'model', model, 'regions',
            json_object(region, json_array(model_grade, before, grade))), reason, reader, 'dashboard', at
        FROM corrections ORDER BY seq;
    DROP TABLE corrections;
    CREATE TRIGGER decisions_stay BEFORE UPDATE ON decisions
        BEGIN SELECT RAISE(ABORT, 'decisions are never changed'); END;
    CREATE TRIGGER decisions_remain BEFORE DELETE ON decisions
        BEGIN SELECT RAISE(ABORT, 'decisions are never removed'); END;
    """,
)
