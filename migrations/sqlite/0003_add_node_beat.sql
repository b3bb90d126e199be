-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 1
--
-- What lets others see within seconds that a process has died: when it last
-- gave a sign of life, and how long a silence means death while nobody holds
-- its advisory lock; 0: it holds none, only its lease counts.

ALTER TABLE nodes ADD COLUMN beat_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN silence_us BIGINT NOT NULL DEFAULT 0;
