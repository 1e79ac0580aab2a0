// SPDX-License-Identifier: MPL-2.0
//! Files on the host: written beside their final name, checked, synced, then moved into place.
//!
//! The bytes travel on standard input of a small script, so no SFTP subsystem is needed, sudo works the same, and secrets
//! never show in a process list.
//! Deliberately not here: directories, ownership, downloads.

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::error::SshError;
use crate::outcome::tail;
use crate::request::{Binary, Exec, ExecOutput, Upload};
use crate::session::Session;

/// Parameters: final path, mode, SHA-256. The temporary file is in the same directory, so the move is one step; it is
/// gone again whatever goes wrong, except when the host itself dies: leftovers older than an hour are swept.
const PUT: &str = r#"
set -eu
path=$1 mode=$2 want=$3
dir=${path%/*} name=${path##*/}
dir=${dir:-/}
[ -d "$dir" ] || { echo "the directory $dir does not exist" >&2; exit 90; }
[ ! -d "$path" ] || { echo "it is a directory" >&2; exit 90; }
umask 077
find "$dir" -maxdepth 1 -type f -name ".$name.new-*" -mmin +60 -exec rm -f {} + 2>/dev/null || :
tmp=$(mktemp "$dir/.$name.new-XXXXXX")
trap 'rm -f "$tmp"' EXIT
trap 'exit 92' HUP INT TERM PIPE
cat >"$tmp"
have=$(sha256sum <"$tmp")
[ "${have%% *}" = "$want" ] || { echo "the content that arrived is not what was sent" >&2; exit 91; }
chmod "$mode" "$tmp"
sync "$tmp" 2>/dev/null || sync
mv -f "$tmp" "$path"
trap - EXIT
sync "$dir" 2>/dev/null || sync
"#;

/// Parameters: path, SHA-256. Exit 0: there; 93: not there, or not that content.
const SEEN: &str = r#"
path=$1 want=$2
[ -f "$path" ] && [ ! -h "$path" ] && [ -x "$path" ] || exit 93
have=$(sha256sum <"$path") && [ "${have%% *}" = "$want" ] || exit 93
"#;

/// Parameter: directory, before the others. It is made when missing. A directory that others can write to would let them
/// swap the program between the check and its start, as root.
const TRUSTED_DIR: &str = r#"
dir=$1
shift
if [ ! -d "$dir" ]; then (umask 022 && mkdir -p -- "$dir") || exit 90; fi
look() { mode=$1 owner=$3; }
look $(LC_ALL=C ls -ldn -- "$dir")
case $mode in
d????w*|d???????w*) echo "others can write to $dir; take that right away, or name another directory" >&2; exit 90 ;;
d*) ;;
*) echo "$dir is not a directory (perhaps a symbolic link)" >&2; exit 90 ;;
esac
[ "$owner" = "$(id -u)" ] || { echo "$dir belongs to user $owner, not to $(id -un)" >&2; exit 90; }
"#;

/// Time for the check whether a program is there.
const CHECK: Duration = Duration::from_secs(30);

impl Session {
    /// Writes one file: to a temporary name in the same directory, checked by SHA-256 on the host, synced, then moved over
    /// the final name in one step. Cut off at any point, the final name holds the old file or the new one.
    ///
    /// # Errors
    /// [`SshError::UploadFailed`] with what the host said, and everything of [`Session::exec`].
    pub async fn upload(&self, upload: Upload<'_>) -> Result<(), SshError> {
        self.check_path(upload.path)?;
        if upload.mode > 0o7777 {
            return Err(self.invalid(format!("{:o} is not a file mode", upload.mode)));
        }
        let mode = format!("{:04o}", upload.mode);
        let (bytes, digest) = self.hashed(upload.bytes).await?;
        let argv = ["/bin/sh", "-c", PUT, "upload", upload.path, &mode, &digest];
        let exec = Exec::new(&argv).input(bytes).within(upload.deadline).idempotent();
        self.require(upload.path, self.exec(exec).await?)
    }

    /// Makes sure that a program is on the host, and returns its path. The name tells the content, so the same program is
    /// never sent twice, two processes may do this at once, and old versions stay until somebody removes them.
    ///
    /// # Errors
    /// [`SshError::UploadFailed`] when the directory cannot be trusted or the file cannot be written;
    /// [`SshError::InvalidRequest`] when `sha256` is not that of `bytes`; everything of [`Session::exec`].
    pub async fn ensure_binary(&self, binary: Binary<'_>) -> Result<String, SshError> {
        let path = binary.path();
        self.check_path(&path)?;
        if binary.name.is_empty() || binary.name.contains('/') || binary.name.starts_with(['-', '.']) {
            return Err(self.invalid(format!("{:?} is not a plain file name", binary.name)));
        }
        // Held while working: others who need the same program wait instead of sending it too.
        let _alone = self.sending.lock().await;
        if self.has_seen(&path) {
            return Ok(path);
        }
        let script = format!("{TRUSTED_DIR}{SEEN}");
        let argv = ["/bin/sh", "-c", &script, "ensure", binary.dir, &path, binary.sha256];
        let found = self.exec(Exec::new(&argv).within(CHECK).idempotent()).await?;
        if found.code == 93 {
            let (bytes, digest) = self.hashed(binary.bytes).await?;
            if digest != binary.sha256 {
                return Err(self.invalid(format!("the bytes for {path} do not have the SHA-256 in its name")));
            }
            let script = format!("{TRUSTED_DIR}{PUT}");
            let argv = ["/bin/sh", "-c", &script, "ensure", binary.dir, &path, "0755", binary.sha256];
            let exec = Exec::new(&argv).input(bytes).within(binary.deadline).idempotent();
            self.require(&path, self.exec(exec).await?)?;
        } else {
            self.require(&path, found)?;
        }
        self.note_seen(&path);
        Ok(path)
    }

    /// The bytes and their digest, computed off the event loop.
    async fn hashed(&self, bytes: &[u8]) -> Result<(Vec<u8>, String), SshError> {
        let bytes = bytes.to_vec();
        let hashing = spawn_blocking(move || {
            let digest = hex(&Sha256::digest(&bytes));
            (bytes, digest)
        });
        hashing.await.map_err(|error| self.invalid(format!("its digest was not computed ({error})")))
    }

    /// Exit 0, or the error for the file.
    fn require(&self, path: &str, output: ExecOutput) -> Result<(), SshError> {
        if output.code == 0 {
            return Ok(());
        }
        let said = match tail(&output.stderr) {
            said if said.is_empty() => format!("the script ended with {}", output.code),
            said => said,
        };
        Err(SshError::UploadFailed { host: self.target().host.clone(), path: path.to_owned(), said })
    }

    /// Absolute, with a file name, and nothing that means another place.
    fn check_path(&self, path: &str) -> Result<(), SshError> {
        let parts_are_plain =
            path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..");
        if path.starts_with('/') && parts_are_plain && !path.chars().any(char::is_control) {
            return Ok(());
        }
        Err(self.invalid(format!("{path:?} is not a plain absolute path")))
    }

    fn invalid(&self, why: String) -> SshError {
        SshError::InvalidRequest { host: self.target().host.clone(), why }
    }
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
