// The Android archive. The Kotlin that calls Rust comes from scripts/bindgen, the libraries from scripts/build-android;
// the tests run under Maven (pom.xml, android-tests/pom.xml), which needs nothing of Google's.

plugins {
    id("com.android.library") version "8.9.3"
    kotlin("android") version "2.1.21"
    id("org.jetbrains.dokka") version "2.0.0"
}

group = "dev.sipwake"
version = "0.1.0"

android {
    namespace = "dev.sipwake"
    compileSdk = 35
    defaultConfig {
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
    sourceSets["main"].apply {
        manifest.srcFile("src/android/AndroidManifest.xml")
        java.setSrcDirs(listOf("src/main/kotlin", "src/android/kotlin", "target/generated/uniffi"))
        jniLibs.setSrcDirs(listOf("target/jniLibs"))
    }
    // The JVM tests and those on Robolectric are Maven's.
    sourceSets["test"].java.setSrcDirs(emptyList<String>())
}

kotlin {
    compilerOptions.jvmTarget.set(org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_11)
}

dependencies {
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.10.2")
    implementation("net.java.dev.jna:jna:5.17.0@aar")
    // An app that uses another push service does without.
    compileOnly("com.google.firebase:firebase-messaging:24.1.1")
}
