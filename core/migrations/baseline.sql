-- The tables, indexes and triggers of schema 3, the last one before Alembic. Never changed again: what is new has a
-- revision of its own.

CREATE TABLE IF NOT EXISTS meta (
    "key" VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    PRIMARY KEY ("key")
);

CREATE TABLE IF NOT EXISTS datasets (
    id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    root VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL,
    created DATETIME NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS standing_tags (
    concept_id INTEGER NOT NULL,
    image VARCHAR NOT NULL,
    tag_id INTEGER NOT NULL,
    state VARCHAR NOT NULL,
    PRIMARY KEY (concept_id, image)
)
 WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS log_versions (
    dataset_id VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (dataset_id)
);

CREATE TABLE IF NOT EXISTS jobs (
    id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    request JSON NOT NULL,
    "key" VARCHAR NOT NULL,
    turn INTEGER NOT NULL,
    state VARCHAR NOT NULL,
    done INTEGER NOT NULL,
    total INTEGER NOT NULL,
    message VARCHAR NOT NULL,
    samples JSON NOT NULL,
    pid INTEGER,
    process_started DOUBLE,
    host VARCHAR NOT NULL,
    heartbeat DATETIME,
    cancel_requested DATETIME,
    created DATETIME NOT NULL,
    started DATETIME,
    finished DATETIME,
    result JSON,
    error JSON,
    PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS analyses (
    id VARCHAR NOT NULL,
    dataset_id VARCHAR NOT NULL,
    model_name VARCHAR NOT NULL,
    model_file VARCHAR NOT NULL,
    arch VARCHAR NOT NULL,
    images INTEGER NOT NULL,
    accuracy DOUBLE,
    created DATETIME NOT NULL,
    used DATETIME NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(dataset_id) REFERENCES datasets (id)
);

CREATE TABLE IF NOT EXISTS concepts (
    id INTEGER NOT NULL,
    dataset_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    "key" VARCHAR NOT NULL,
    color VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    note VARCHAR NOT NULL,
    shortcut INTEGER,
    attribute VARCHAR,
    attribute_value VARCHAR,
    created DATETIME NOT NULL,
    deleted DATETIME,
    PRIMARY KEY (id),
    UNIQUE (dataset_id, "key"),
    FOREIGN KEY(dataset_id) REFERENCES datasets (id)
);

CREATE TABLE IF NOT EXISTS tag_actions (
    id INTEGER NOT NULL,
    dataset_id VARCHAR NOT NULL,
    kind VARCHAR DEFAULT 'tag' NOT NULL,
    source VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    how VARCHAR DEFAULT '' NOT NULL,
    subject VARCHAR DEFAULT '' NOT NULL,
    state VARCHAR,
    images INTEGER DEFAULT '0' NOT NULL,
    sentence VARCHAR DEFAULT '' NOT NULL,
    direction VARCHAR,
    low DOUBLE,
    high DOUBLE,
    created DATETIME NOT NULL,
    undone DATETIME,
    undone_after INTEGER,
    settled BOOLEAN DEFAULT '0' NOT NULL,
    stamp BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(dataset_id) REFERENCES datasets (id)
);

CREATE TABLE IF NOT EXISTS tags (
    id INTEGER NOT NULL,
    action_id INTEGER NOT NULL,
    concept_id INTEGER NOT NULL,
    image VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(action_id) REFERENCES tag_actions (id),
    FOREIGN KEY(concept_id) REFERENCES concepts (id)
);

CREATE TABLE IF NOT EXISTS concept_changes (
    id INTEGER NOT NULL,
    action_id INTEGER,
    concept_id INTEGER NOT NULL,
    field VARCHAR NOT NULL,
    value JSON NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(action_id) REFERENCES tag_actions (id),
    FOREIGN KEY(concept_id) REFERENCES concepts (id)
);

CREATE TABLE IF NOT EXISTS label_verdicts (
    id INTEGER NOT NULL,
    action_id INTEGER NOT NULL,
    image VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,
    new_label VARCHAR,
    PRIMARY KEY (id),
    FOREIGN KEY(action_id) REFERENCES tag_actions (id)
);

CREATE TABLE IF NOT EXISTS statement_origins (
    kind VARCHAR NOT NULL,
    statement_id INTEGER NOT NULL,
    author VARCHAR,
    source VARCHAR,
    how VARCHAR,
    time DATETIME,
    direction VARCHAR,
    low DOUBLE,
    high DOUBLE,
    action_id INTEGER,
    PRIMARY KEY (kind, statement_id),
    FOREIGN KEY(action_id) REFERENCES tag_actions (id)
);

CREATE TABLE IF NOT EXISTS suggested_members (
    concept_id INTEGER NOT NULL,
    place INTEGER NOT NULL,
    image VARCHAR NOT NULL,
    score DOUBLE,
    source VARCHAR NOT NULL,
    PRIMARY KEY (concept_id, place),
    FOREIGN KEY(concept_id) REFERENCES concepts (id)
);

CREATE TABLE IF NOT EXISTS runs (
    id VARCHAR NOT NULL,
    analysis_id VARCHAR NOT NULL,
    job_id VARCHAR,
    method VARCHAR NOT NULL,
    settings JSON NOT NULL,
    created DATETIME NOT NULL,
    finished DATETIME,
    PRIMARY KEY (id),
    FOREIGN KEY(analysis_id) REFERENCES analyses (id),
    FOREIGN KEY(job_id) REFERENCES jobs (id)
);

CREATE INDEX IF NOT EXISTS standing_tags_by_tag ON standing_tags (tag_id);

CREATE INDEX IF NOT EXISTS standing_tags_by_image ON standing_tags (image);

CREATE INDEX IF NOT EXISTS ix_jobs_key ON jobs ("key");

CREATE INDEX IF NOT EXISTS ix_jobs_state ON jobs (state);

CREATE INDEX IF NOT EXISTS ix_analyses_dataset_id ON analyses (dataset_id);

CREATE INDEX IF NOT EXISTS ix_concepts_dataset_id ON concepts (dataset_id);

CREATE INDEX IF NOT EXISTS tag_actions_by_author ON tag_actions (dataset_id, author, id);

CREATE INDEX IF NOT EXISTS tag_actions_unsettled ON tag_actions (id) WHERE settled = 0;

CREATE INDEX IF NOT EXISTS ix_tag_actions_dataset_id ON tag_actions (dataset_id);

CREATE INDEX IF NOT EXISTS tag_actions_undone ON tag_actions (dataset_id, author, undone_after) WHERE undone IS NOT NULL;

CREATE INDEX IF NOT EXISTS tag_actions_standing ON tag_actions (dataset_id, id) WHERE undone IS NULL;

CREATE INDEX IF NOT EXISTS tag_actions_standing_by_author ON tag_actions (dataset_id, author, id) WHERE undone IS NULL;

CREATE INDEX IF NOT EXISTS tags_by_concept ON tags (concept_id, image, id);

CREATE INDEX IF NOT EXISTS ix_tags_action_id ON tags (action_id);

CREATE INDEX IF NOT EXISTS ix_concept_changes_action_id ON concept_changes (action_id);

CREATE INDEX IF NOT EXISTS ix_concept_changes_concept_id ON concept_changes (concept_id);

CREATE INDEX IF NOT EXISTS ix_label_verdicts_action_id ON label_verdicts (action_id);

CREATE INDEX IF NOT EXISTS ix_runs_analysis_id ON runs (analysis_id);

CREATE TRIGGER IF NOT EXISTS action_added AFTER INSERT ON tag_actions
    BEGIN
        UPDATE tag_actions SET stamp = random() & 2305843009213693951 WHERE id = NEW.id;
        INSERT INTO log_versions (dataset_id, version)
        SELECT dataset_id, stamp FROM tag_actions WHERE id = NEW.id AND undone IS NULL
        ON CONFLICT (dataset_id) DO UPDATE SET version = (version + excluded.version) & 2305843009213693951;
    END;

CREATE TRIGGER IF NOT EXISTS action_undone AFTER UPDATE OF undone ON tag_actions
    WHEN (OLD.undone IS NULL) <> (NEW.undone IS NULL)
    BEGIN
        UPDATE log_versions
        SET version = (version + CASE WHEN NEW.undone IS NULL THEN NEW.stamp ELSE -NEW.stamp END) & 2305843009213693951
        WHERE dataset_id = NEW.dataset_id;
        DELETE FROM standing_tags WHERE tag_id IN (SELECT id FROM tags WHERE action_id = NEW.id);
        INSERT INTO standing_tags (concept_id, image, tag_id, state)
        SELECT said.concept_id, said.image, max(said.id), said.state
        FROM (SELECT DISTINCT concept_id, image FROM tags WHERE action_id = NEW.id) AS touched
        CROSS JOIN tags AS said ON said.concept_id = touched.concept_id AND said.image = touched.image
        CROSS JOIN tag_actions AS action ON action.id = said.action_id
        WHERE action.undone IS NULL
        GROUP BY said.concept_id, said.image
        ON CONFLICT (concept_id, image) DO UPDATE SET tag_id = excluded.tag_id, state = excluded.state
        WHERE excluded.tag_id > tag_id;
    END;
