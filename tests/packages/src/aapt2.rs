//! The Android manifest as aapt2 compiles it. aapt2 knows the attributes and types of Android.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    path::Path,
    process::{Command, id},
};

use crate::findings::Findings;

/// Names the file with Android's resources, for aapt2's `-I`: `scripts/tools/aapt2` prints it.
const FRAMEWORK: &str = "SIPWAKE_ANDROID_RESOURCES";

/// The content of a manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) package: String,
    pub(crate) minimum: String,
    pub(crate) permissions: BTreeSet<String>,
    /// Names of activities, services, receivers and providers.
    pub(crate) components: BTreeSet<String>,
    /// Whether it has the mark of a build that is only for checking.
    pub(crate) marked: bool,
}

/// Lets aapt2 compile a manifest, and says what is wrong with it or differs from the XML.
pub(crate) fn inspect(place: &str, xml: &[u8], read: &Manifest, findings: &mut Findings) {
    let Some(framework) = std::env::var_os(FRAMEWORK).filter(|framework| !framework.is_empty()) else {
        return findings.not_checked(
            place,
            format!("by aapt2: {FRAMEWORK} names no resources of Android; scripts/tools/aapt2 prepares them"),
        );
    };
    let folder = std::env::temp_dir().join(format!("inspect-package-{}", id()));
    let compiled = fs::create_dir_all(&folder).and_then(|()| compile(&folder, xml, &framework));
    // The reader of the findings does not need the path of a temporary folder.
    let _ = fs::remove_dir_all(&folder);
    match compiled {
        Err(error) => findings.wrong(place, format!("cannot be given to aapt2: {error}")),
        Ok(Err(why)) => findings.wrong(place, format!("is refused by aapt2: {why}")),
        Ok(Ok(tree)) => {
            let manifest = read_tree(&tree);
            if manifest == *read {
                findings.seen(place, "aapt2 reads the same");
            } else {
                findings.wrong(place, format!("is {manifest:?} to aapt2, and {read:?} as XML"));
            }
        }
    }
}

/// Compiles a manifest and prints the compiled one.
fn compile(folder: &Path, xml: &[u8], framework: &OsStr) -> io::Result<Result<String, String>> {
    let (source, package) = (folder.join("AndroidManifest.xml"), folder.join("manifest.apk"));
    fs::write(&source, xml)?;
    let link = Command::new("aapt2")
        .args(["link".as_ref(), "-I".as_ref(), framework, "--manifest".as_ref()])
        .args([source.as_os_str(), "-o".as_ref(), package.as_os_str()])
        .output()?;
    if !link.status.success() {
        let said = String::from_utf8_lossy(&link.stderr).replace(&*folder.to_string_lossy(), "");
        let errors: Vec<_> = said.lines().filter(|line| line.contains("error:")).map(str::trim).collect();
        return Ok(Err(errors.join("; ")));
    }
    let dump = Command::new("aapt2")
        .args([
            "dump".as_ref(),
            "xmltree".as_ref(),
            "--file".as_ref(),
            "AndroidManifest.xml".as_ref(),
            package.as_os_str(),
        ])
        .output()?;
    Ok(match dump.status.success() {
        true => Ok(String::from_utf8_lossy(&dump.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&dump.stderr).into_owned()),
    })
}

/// Reads the output of `aapt2 dump xmltree`: `E: element (line=2)`, and below it for each attribute `A:
/// namespace:name(0x01010003)="value" (Raw: "value")` or `A: namespace:name(0x0101020c)=24`.
fn read_tree(tree: &str) -> Manifest {
    let mut manifest = Manifest::default();
    let mut element = "";
    for line in tree.lines().map(str::trim_start) {
        if let Some(named) = line.strip_prefix("E: ") {
            element = named.split(' ').next().unwrap_or_default();
            continue;
        }
        let Some((name, value)) = line.strip_prefix("A: ").and_then(|attribute| attribute.split_once('=')) else {
            continue;
        };
        let name = name.rsplit(':').next().unwrap_or(name).split('(').next().unwrap_or_default();
        let value = match value.strip_prefix('"') {
            Some(text) => text.split('"').next().unwrap_or_default(),
            None => value,
        };
        match (element, name) {
            ("manifest", "package") => manifest.package = value.into(),
            ("uses-sdk", "minSdkVersion") => manifest.minimum = value.into(),
            ("uses-permission", "name") => manifest.permissions.extend([value.into()]),
            ("meta-data", "name") => manifest.marked |= value == crate::aar::CHECK_ONLY_META_DATA,
            ("activity" | "service" | "receiver" | "provider", "name") => manifest.components.extend([value.into()]),
            _ => {}
        }
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_that_aapt2_prints_is_read() {
        let tree = r#"N: android=http://schemas.android.com/apk/res/android (line=2)
  E: manifest (line=2)
    A: http://schemas.android.com/apk/res/android:compileSdkVersion(0x01010572)=34
    A: package="dev.sipwake" (Raw: "dev.sipwake")
      E: uses-sdk (line=3)
        A: http://schemas.android.com/apk/res/android:minSdkVersion(0x0101020c)=24
      E: uses-permission (line=4)
        A: http://schemas.android.com/apk/res/android:name(0x01010003)="android.permission.INTERNET" (Raw: "android.permission.INTERNET")
      E: application (line=7)
          E: service (line=7)
            A: http://schemas.android.com/apk/res/android:name(0x01010003)="dev.sipwake.Service" (Raw: "dev.sipwake.Service")
          E: meta-data (line=8)
            A: http://schemas.android.com/apk/res/android:name(0x01010003)="dev.sipwake.CHECK_ONLY" (Raw: "dev.sipwake.CHECK_ONLY")
            A: http://schemas.android.com/apk/res/android:value(0x01010024)=true
"#;
        let expected = Manifest {
            package: "dev.sipwake".into(),
            minimum: "24".into(),
            permissions: ["android.permission.INTERNET".into()].into(),
            components: ["dev.sipwake.Service".into()].into(),
            marked: true,
        };
        assert_eq!(read_tree(tree), expected);
    }
}
