    -- The end of the log, of which server and timeline, and how its pages are laid out.
    (select system_identifier::text from pg_control_system()) as system,
    ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int as timeline,
    (pg_current_wal_insert_lsn() - '0/0')::bigint as log_end,
    current_setting('wal_block_size')::bigint as block,
    pg_size_bytes(current_setting('wal_segment_size')) as segment
