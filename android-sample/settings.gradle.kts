pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositories {
        // What scripts/build-android wrote; with -Psipwake.released=VERSION the SDK comes from Maven Central.
        if (!providers.gradleProperty("sipwake.released").isPresent) maven(uri("../target/android/maven"))
        google()
        mavenCentral()
    }
}

rootProject.name = "sipwake-android-sample"
include(":app")
