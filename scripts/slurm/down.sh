#!/usr/bin/env bash
# down.sh DIR: cancels what runs in the private Slurm of up.sh DIR and stops
# its daemons, found by their pid files. DIR itself is kept (logs); remove it afterwards.
set -uo pipefail
[ $# -eq 1 ] && [ -d "$1" ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$(cd "$1" && pwd -P)
export SLURM_CONF=$dir/slurm.conf
# running PIDFILE NAME: the pid in the file is alive (no zombie: pid 1 may reap late) and is
# that program (pids get reused, and kill -9 leaves the file).
running() {
  local pid
  read -r pid 2>/dev/null < "$1" || return 1
  [ -n "$pid" ] && grep -qsx "Name:	$2" "/proc/$pid/status" &&
    ! grep -qs '^State:	[ZX]' "/proc/$pid/status"
} 2>/dev/null
stop() { # PIDFILE NAME
  local pid i
  running "$1" "$2" || return 0
  read -r pid < "$1" || return 0
  kill "$pid" 2>/dev/null
  for ((i = 0; i < 100; i++)); do
    grep -qsx "Name:	$2" "/proc/$pid/status" || return 0
    grep -qs '^State:	[ZX]' "/proc/$pid/status" && return 0
    sleep 0.1
  done
  echo "slurm/down.sh: $2 ($pid) ignored SIGTERM, killing it" >&2
  kill -9 "$pid" 2>/dev/null
}
# Jobs outlive slurmd (their slurmstepd is a process of its own), so cancel them first.
if running "$dir/slurmctld.pid" slurmctld; then
  timeout 10 scancel --partition=test --state=PENDING 2>/dev/null
  timeout 10 scancel --partition=test 2>/dev/null
  for ((i = 0; i < 60; i++)); do
    [ -z "$(timeout 10 squeue -h -o %i 2>/dev/null)" ] && break; sleep 0.2
  done
fi
for f in "$dir"/slurmd.*.pid; do stop "$f" slurmd; done
stop "$dir/slurmctld.pid" slurmctld
stop "$dir/slurmdbd.pid" slurmdbd
stop "$dir/mysqld.pid" mariadbd
stop "$dir/munge/pid" munged
echo 'slurm stopped'
