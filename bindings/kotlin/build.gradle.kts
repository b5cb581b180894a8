// The Android archive. The Kotlin that calls Rust comes from scripts/bindgen, the libraries from scripts/build-android;
// the tests run under Maven (pom.xml, android-tests/pom.xml), which needs nothing of Google's. Gradle 9.6 or newer and JDK 17: the
// plug-in of Android compiles Kotlin by itself since its version 9. No test of ours runs Gradle.

plugins {
    id("com.android.library") version "9.5.1"
    id("org.jetbrains.dokka") version "2.0.0"
}

group = "dev.sipwake"
version = "0.1.0"

android {
    namespace = "dev.sipwake"
    compileSdk = 36
    defaultConfig {
        minSdk = 26
        consumerProguardFiles("consumer-rules.pro")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
    sourceSets["main"].apply {
        manifest.srcFile("src/android/AndroidManifest.xml")
        kotlin.directories += listOf("src/android/kotlin", "target/generated/uniffi")
        jniLibs.setSrcDirs(listOf("target/jniLibs"))
    }
    // The JVM tests and those on Robolectric are Maven's.
    sourceSets["test"].kotlin.directories.clear()
}

// Generated code is excused (scripts/bindgen).
kotlin { explicitApi() }

dependencies {
    // Read by lint in apps; no class file needs them to run.
    compileOnly("androidx.annotation:annotation:1.8.0")
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.10.2")
    implementation("net.java.dev.jna:jna:5.19.1@aar")
    // An app that uses another push service does without.
    compileOnly("com.google.firebase:firebase-messaging:25.1.0")
}
